import HTTPTypes
import HeraldCore
import Hummingbird

/// From a request to its endpoint, and from whatever goes wrong to one problem document.
struct LogicAPI: HTTPResponder {
    typealias Context = BasicRequestContext

    /// All that is served. The first is found without taking its path apart.
    let endpoints: [Endpoint]
    let access: AccessRule
    let counters: RequestCounters

    func respond(to request: Request, context: Context) async throws -> Response {
        var response: Response
        do throws(Problem) {
            response = try await answer(request)
        } catch {
            counters.refused(error.code)
            response = error.response
        }
        if request.method == .head { response = response.createHeadResponse() }
        counters.answered(response.status)
        return response
    }

    private func answer(_ request: Request) async throws(Problem) -> Response {
        let path = request.uri.path
        let (endpoint, parameters) = try find(request.method, path)
        if !endpoint.isOpen, let objection = access.objection(to: AccessRule.Credentials(request)) {
            throw objection
        }
        return try await endpoint.answer(request, PathParameters(parameters))
    }

    private func find(
        _ method: HTTPRequest.Method,
        _ path: String
    ) throws(Problem) -> (Endpoint, [Substring]) {
        if let first = endpoints.first, first.method == method, first.path.description == path {
            return (first, [])
        }
        // HEAD is GET without the body (RFC 9110 §9.3.2).
        let wanted = method == .head ? .get : method
        var allowed: [String] = []
        for endpoint in endpoints {
            guard let parameters = endpoint.path.match(path) else { continue }
            if endpoint.method == wanted { return (endpoint, parameters) }
            allowed.append(endpoint.method.rawValue)
            if endpoint.method == .get { allowed.append("HEAD") }
        }
        guard !allowed.isEmpty else {
            throw Problem(.notFound, "unknown_path", "there is nothing at this path; see /openapi.yaml")
        }
        let list = allowed.joined(separator: ", ")
        var problem = Problem(.methodNotAllowed, "wrong_method", "this path knows \(list)")
        problem.allow = list
        throw problem
    }
}

extension AccessRule.Credentials {
    init(_ request: Request) {
        self.init(
            authorization: request.headers[.authorization],
            origin: request.headers[.origin],
            host: request.head.authority
        )
    }
}
