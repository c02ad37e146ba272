import HTTPTypes
import HeraldWire
import Hummingbird

/// What operators and their tools ask: is it there, is it ready, what has it done, what can it do.
struct ServiceController: Sendable {
    /// Why no pushes should be sent here now; empty when they should.
    let obstacles: @Sendable () -> [String]
    /// The metrics as Prometheus reads them.
    let metrics: @Sendable () -> String

    var endpoints: [Endpoint] {
        [
            Endpoint(.get, "/healthz", isOpen: true) { (_, _) async throws(Problem) in
                .json { $0.object { $0.member("alive", true) } }
            },
            Endpoint(.get, "/readyz", isOpen: true) { (_, _) async throws(Problem) in try ready() },
            Endpoint(.get, "/metrics") { (_, _) async throws(Problem) in
                .text("text/plain; version=0.0.4; charset=utf-8", metrics().utf8)
            },
            Endpoint(.get, "/openapi.yaml") { (_, _) async throws(Problem) in
                .text("application/yaml", PackageResources.openapi_yaml)
            },
        ]
    }

    private func ready() throws(Problem) -> Response {
        let obstacles = obstacles()
        guard obstacles.isEmpty else {
            var problem = Problem(.serviceUnavailable, "not_ready", obstacles.joined(separator: "; "))
            problem.retryAfterSeconds = 1
            throw problem
        }
        return .json { $0.object { $0.member("ready", true) } }
    }
}
