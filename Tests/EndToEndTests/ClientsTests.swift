import Foundation
import HeraldTesting
import Testing

/// Other people's clients: what they understand is the protocol, not what ours do.
@Suite(.timeLimit(.minutes(3))) struct ClientsTests {
    @Test func `Python's websockets connects, joins, pings and is shown every kind of push`() async throws {
        try await check("websockets_client.py")
    }

    @Test func `a page in Chromium connects and shows what is pushed`() async throws {
        try await check("browser_client.py")
    }

    private func check(_ script: String) async throws {
        try await LocalHerald.run(nodes: 1) { herald in
            let path = URL(filePath: #filePath).deletingLastPathComponent().appending(
                path: "clients/\(script)"
            ).path
            let result = try await Tool.run(
                "/usr/bin/python3",
                [path, herald.cloudURL(1), herald.logicURL("")],
                within: .seconds(120)
            )
            #expect(result.output == "ok\n", "\(result.output)\(result.errors)")
        }
    }
}
