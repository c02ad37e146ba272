import HeraldCore
import Testing

@testable import HeraldLogic

struct LogicConfigurationTests {
    @Test(arguments: [("localhost", true), ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true)])
    func `loopback needs no key`(host: String, isLoopback: Bool) {
        #expect(LogicConfiguration.isLoopback(host) == isLoopback)
    }

    @Test(arguments: ["0.0.0.0", "::", "10.0.0.1", "127.0.0", "127.0.0.256", "127.0.0.1.evil.example", ""])
    func `any other address needs one`(host: String) {
        let fleet = Fleet()
        #expect(throws: LogicError.keyMissing(host: host)) {
            _ = try Logic(
                configuration: LogicConfiguration(host: host),
                routes: fleet.table,
                bus: fleet.bus,
                logger: .silent
            )
        }
    }

    @Test func `a key is never printed, and a weak one is refused`() throws {
        let key = try APIKey("0123456789abcdef")
        #expect(!"\(key)".contains("0123"))
        #expect(!String(reflecting: key).contains("0123"))
        for weak in [
            "", "short", "has a space in the middle", "0123456789abcdé!", String(repeating: "x", count: 257),
        ] {
            #expect(throws: LogicError.weakKey) { _ = try APIKey(weak) }
        }
    }

    @Test func `a port that is taken is an error that says so`() async throws {
        let fleet = Fleet()
        try await fleet.serving { port in
            let second = try Logic(
                configuration: LogicConfiguration(port: port),
                routes: fleet.table,
                bus: fleet.bus,
                logger: .silent
            )
            let error = await #expect(throws: LogicError.self) { try await second.run() }
            #expect(error?.description.hasPrefix("cannot listen on 127.0.0.1:\(port)") == true)
        }
    }
}
