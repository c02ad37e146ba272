import HeraldSockets
import Testing

@testable import conformance

@Suite struct ConformanceProgramTests {
    @Test func `its flags become a configuration on the loopback, with limits of 16 MiB`() throws {
        let configuration = try Options.parse(["--port", "9001"]).get().configuration
        #expect(configuration.host == "127.0.0.1" && configuration.port == 9001)
        #expect(configuration.limits.messageBytesMax == 16 << 20)
        #expect(try Options.parse([]).get().configuration.port == 0)
        #expect(configuration.deflate == nil)
        let deflate = try Options.parse(["--deflate", "--takeover"]).get().configuration.deflate
        let tls = try Options.parse(["--tls", "a", "b"]).get().configuration.tls
        #expect(tls == TLSSettings(certificateFile: "a", keyFile: "b"))
        #expect(deflate?.payloadBytesMin == 0 && deflate?.serverTakesOverContext == true)
    }

    @Test(arguments: [["--port"], ["--port", "70000"], ["--nonsense"], ["--takeover"], ["--tls", "a"]])
    func `a flag it does not know is named`(arguments: [String]) {
        let error = #expect(throws: Options.Failure.self) { try Options.parse(arguments).get() }
        #expect(error?.description.contains(arguments[0]) == true)
    }
}
