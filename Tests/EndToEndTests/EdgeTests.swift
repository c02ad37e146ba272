import Foundation
import HeraldTesting
import Testing

/// What stands between a node and its clients: TLS on its own port, with other people's clients.
@Suite(.timeLimit(.minutes(2))) struct EdgeTests {
    @Test func `a node speaks TLS, and takes a new certificate while a client stays connected`() async throws
    {
        let redis = try await OwnRedis.start()
        let folder = URL(filePath: redis.folder)
        defer { redis.stop() }
        try await Self.makeCertificate("first", in: folder)
        let port = try FreePorts.take(1)
        let (certificate, key) = (folder.appending(path: "node.pem"), folder.appending(path: "node.key"))
        let node = Program(
            "cloud-1",
            [
                try LocalHerald.program.path, "cloud", "--redis", "redis://127.0.0.1:\(redis.port)", "--port",
                "\(port)",
            ],
            environment: [
                "HERALD_CLOUD_TLS_CERTIFICATE_FILE": certificate.path, "HERALD_CLOUD_TLS_KEY_FILE": key.path,
            ],
            folder: folder
        )
        try await node.start()
        defer { node.signal(SIGKILL) }
        try await eventually("the node is ready", within: .seconds(30)) {
            try await Self.curl("/readyz", port, trusting: certificate).output.hasPrefix("ready")
        }
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "clients/tls_client.py"
        )
        let output = folder.appending(path: "client")
        let client = try Spawned(
            [
                "/usr/bin/python3", script.path, "wss://localhost:\(port)/ws?user=alice&key=phone",
                certificate.path,
            ],
            output: output.path,
            errors: output.path + ".errors"
        )
        defer { client.signal(SIGKILL) }
        func said(_ word: String) throws -> Bool {
            try String(contentsOf: output, encoding: .utf8).split(separator: "\n").contains { $0 == word }
        }
        try await eventually("a client is connected", within: .seconds(30)) { try said("connected") }

        let old = folder.appending(path: "old.pem")
        try FileManager.default.copyItem(at: certificate, to: old)
        try await Self.makeCertificate("second", in: folder)
        node.signal(SIGHUP)
        try await eventually("new connections get the new certificate", within: .seconds(30)) {
            try await Self.curl("/healthz", port, trusting: certificate).status == 0
        }
        #expect(
            try await Self.curl("/healthz", port, trusting: old).status == 60,
            "the old one is served no more"
        )
        // A certificate that cannot be used changes nothing.
        try Data("no certificate".utf8).write(to: certificate)
        node.signal(SIGHUP)
        try await eventually("that is told", within: .seconds(30)) {
            try String(contentsOfFile: node.log, encoding: .utf8).contains("the certificate stays as it was")
        }
        client.signal(SIGUSR1)
        try await eventually("the client still has its connection", within: .seconds(30)) { try said("pong") }
    }

    /// A self-signed certificate for localhost, in place of the one there was.
    private static func makeCertificate(_ name: String, in folder: URL) async throws {
        let made = try await Tool.run(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2",
                "-subj", "/CN=\(name)", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                folder.appending(path: "node.key").path, "-out", folder.appending(path: "node.pem").path,
            ]
        )
        #expect(made.status == 0, "\(made.errors)")
    }

    private static func curl(_ path: String, _ port: Int, trusting: URL) async throws -> Tool.Result {
        let url = "https://localhost:\(port)\(path)"
        return try await Tool.run("/usr/bin/curl", ["-sS", "-m", "10", "--cacert", trusting.path, url])
    }
}
