import Foundation
import HeraldTesting
import Testing

@testable import HeraldSockets

/// Somebody else's client against the engine: what it understands is the protocol, not what ours does.
@Suite(.serialized, .timeLimit(.minutes(3))) struct PublicClientTests {
    @Test func `Python's websockets gets everything back, to 16 MiB and in thousands of fragments`()
        async throws
    {
        try await check("plain")
    }

    @Test(arguments: [false, true])
    func `Python's websockets compresses with whatever windows and memory it likes`(
        takesOver: Bool
    ) async throws {
        var settings = DeflateSettings()
        settings.payloadBytesMin = 0
        (settings.serverTakesOverContext, settings.clientTakesOverContext) = (takesOver, takesOver)
        try await check("deflate", settings)
    }

    @Test func `Python's websockets gets the same over TLS`() async throws {
        var settings = DeflateSettings()
        settings.payloadBytesMin = 0
        try await check("deflate", settings, isEncrypted: true)
    }

    private func check(
        _ mode: String,
        _ deflate: DeflateSettings? = nil,
        isEncrypted: Bool = false
    ) async throws {
        let certificates = try TestCertificates()
        let tls = isEncrypted ? try certificates.settings("a") : nil
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.messageBytesMax = 16 << 20
            limits.sendQueueBytesMax = 64 << 20
        }
        try await Harness.run(deflate: deflate, tls: tls, limits: limit) { harness in
            let script = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "clients/websockets_echo.py").path
            let output = FileManager.default.temporaryDirectory
                .appending(path: "herald-websockets-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: output) }
            let url = "\(tls == nil ? "ws" : "wss")://127.0.0.1:\(harness.port)/"
            let client = try Spawned(
                ["/usr/bin/python3", script, url, mode] + (tls.map { [$0.certificateFile] } ?? []),
                output: output.path,
                errors: output.path
            )
            do {
                try await eventually("the client ends", within: .seconds(150)) { client.exitCode != nil }
            } catch {
                client.signal(SIGKILL)
                throw error
            }
            #expect(client.end() == 0)
            #expect(try String(contentsOf: output, encoding: .utf8) == "ok\n")
        }
    }
}
