import Foundation
import HeraldTesting
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization
import Testing

@testable import HeraldLogic

struct WebhookTransportTests {
    private static let request = WebhookRequest(
        body: Array(#"{"events":[]}"#.utf8),
        signature: "t=1,v1=00",
        delivery: "3-1-0"
    )

    private func transport(
        _ url: String,
        allowsPrivate: Bool = true,
        trustRoots: NIOSSLTrustRoots = .default,
        resolve: (@Sendable (String) async throws -> [IPAddress])? = nil
    ) throws -> HTTPWebhookTransport {
        var configuration = WebhookConfiguration(
            url: try WebhookURL(url),
            secret: try WebhookSecret("0123456789abcdef")
        )
        configuration.allowsPrivate = allowsPrivate
        configuration.version = "1.2"
        return try HTTPWebhookTransport(
            configuration,
            loops: MultiThreadedEventLoopGroup.singleton,
            trustRoots: trustRoots,
            resolve: resolve ?? { try await SystemResolver.addresses(of: $0) }
        )
    }

    @Test func `a request says what it is, and a lane keeps its connection`() async throws {
        try await WebhookReceiver.serving { receiver, port in
            let transport = try transport("http://127.0.0.1:\(port)/hook?a=b")
            defer { transport.close() }
            for lane in [3, 3, 4, 3] {
                #expect(await transport.post(Self.request, lane: lane) == .accepted)
            }
            let request = try #require(receiver.requests.first)
            #expect(request.head.method == .POST && request.head.uri == "/hook?a=b")
            #expect(request.body == Self.request.body)
            #expect(request.field("Host") == "127.0.0.1:\(port)")
            #expect(request.field("Content-Type") == "application/json")
            #expect(request.field("User-Agent") == "Herald/1.2")
            #expect(request.field("Herald-Delivery") == "3-1-0")
            #expect(request.field("Herald-Signature") == "t=1,v1=00")
            #expect(receiver.requests.map(\.connection) == [0, 0, 1, 0])
        }
    }

    @Test(arguments: [
        (200, [], WebhookOutcome.accepted), (204, [], .accepted), (299, [], .accepted), (410, [], .gone),
        (500, [], .refused(status: 500, retryAfter: nil)), (400, [], .refused(status: 400, retryAfter: nil)),
        (503, ["Retry-After: 7"], .refused(status: 503, retryAfter: .seconds(7))),
        (429, ["Retry-After: soon"], .refused(status: 429, retryAfter: nil)),
        (503, ["Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"], .refused(status: 503, retryAfter: .zero)),
    ])
    func `only 2xx is taken`(status: Int, fields: [String], outcome: WebhookOutcome) async throws {
        try await WebhookReceiver.serving { _, _ in
            .status(status, fields: fields)
        } _: { _, port in
            let transport = try transport("http://127.0.0.1:\(port)/")
            defer { transport.close() }
            #expect(await transport.post(Self.request, lane: 0) == outcome)
        }
    }

    @Test func `a redirect is not followed`() async throws {
        try await WebhookReceiver.serving { other, otherPort in
            try await WebhookReceiver.serving { _, _ in
                .status(307, fields: ["Location: http://127.0.0.1:\(otherPort)/"])
            } _: { receiver, port in
                let transport = try transport("http://127.0.0.1:\(port)/")
                defer { transport.close() }
                let outcome = await transport.post(Self.request, lane: 0)
                #expect(outcome == .refused(status: 307, retryAfter: nil))
                #expect(receiver.requests.count == 1 && other.connections == 0)
            }
        }
    }

    @Test(arguments: [WebhookReceiver.Reply.breakOff, .close])
    func `an answer that is not whole is none`(reply: WebhookReceiver.Reply) async throws {
        try await WebhookReceiver.serving { _, _ in
            reply
        } _: { _, port in
            let transport = try transport("http://127.0.0.1:\(port)/")
            defer { transport.close() }
            guard case .failed = await transport.post(Self.request, lane: 0) else {
                Issue.record("taken for an answer")
                return
            }
        }
    }

    @Test func `a kept connection that the receiver closed is made anew at once`() async throws {
        try await WebhookReceiver.serving { number, _ in
            number == 1 ? .close : .status(200)
        } _: { receiver, port in
            let transport = try transport("http://127.0.0.1:\(port)/")
            defer { transport.close() }
            #expect(await transport.post(Self.request, lane: 0) == .accepted)
            #expect(await transport.post(Self.request, lane: 0) == .accepted)
            #expect(receiver.requests.map(\.connection) == [0, 0, 1])
        }
    }

    @Test func `of a long body only the status counts, and the connection ends`() async throws {
        try await WebhookReceiver.serving { number, _ in
            .status(200, bodyBytes: number == 0 ? 16_384 : 1_000_000)
        } _: { receiver, port in
            let transport = try transport("http://127.0.0.1:\(port)/")
            defer { transport.close() }
            for _ in 0..<3 { #expect(await transport.post(Self.request, lane: 0) == .accepted) }
            #expect(receiver.requests.map(\.connection) == [0, 0, 1])
        }
    }

    @Test func `nobody there is a failure, in a person's words`() async throws {
        let port = try FreePorts.take()
        let transport = try transport("http://127.0.0.1:\(port)/")
        #expect(await transport.post(Self.request, lane: 0) == .failed("Connection refused"))
    }

    @Test func `cancellation closes the connection at once`() async throws {
        try await WebhookReceiver.serving { _, _ in
            .silence
        } _: { receiver, port in
            let transport = try transport("http://127.0.0.1:\(port)/")
            try await withDeadline(.seconds(10)) {
                await withTaskGroup(of: WebhookOutcome.self) { group in
                    group.addTask { await transport.post(Self.request, lane: 0) }
                    _ = await receiver.next(1)
                    group.cancelAll()
                    #expect(await group.next() == .failed("it was cancelled"))
                }
                await receiver.closing()
            }
        }
    }

    // MARK: TLS

    @Test func `a certificate has to be of somebody who is trusted, and for the name`() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "herald-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let certificate = folder.appending(path: "certificate.pem").path
        let key = folder.appending(path: "key.pem").path
        let openssl = try Spawned([
            "/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:r.example",
            "-keyout", key, "-out", certificate,
        ])
        #expect(openssl.end() == 0)
        let tls = try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
                privateKey: .privateKey(NIOSSLPrivateKey(file: key, format: .pem))
            )
        )
        let loopback = try #require(IPAddress([127, 0, 0, 1]))
        try await WebhookReceiver.serving(tls: tls) { receiver, port in
            let url = "https://r.example:\(port)/"
            let trusting = try transport(url, trustRoots: .file(certificate)) { _ in [loopback] }
            defer { trusting.close() }
            #expect(await trusting.post(Self.request, lane: 0) == .accepted)
            #expect(await trusting.post(Self.request, lane: 0) == .accepted)
            #expect(receiver.requests.map(\.connection) == [0, 0])
            let others = [
                try transport(url) { _ in [loopback] },
                try transport("https://other.example:\(port)/", trustRoots: .file(certificate)) { _ in
                    [loopback]
                },
                try transport("https://127.0.0.1:\(port)/", trustRoots: .file(certificate)),
            ]
            for other in others {
                guard case .failed(let reason) = await other.post(Self.request, lane: 0) else {
                    Issue.record("believed")
                    continue
                }
                #expect(reason.contains("TLS"), "\(reason)")
            }
            #expect(receiver.requests.count == 2)
        }
    }

    // MARK: addresses

    @Test(arguments: [
        "localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0",
    ])
    func `what leads to this machine is refused, however it is written`(host: String) async throws {
        try await WebhookReceiver.serving { receiver, port in
            let transport = try transport("http://\(host):\(port)/", allowsPrivate: false)
            guard case .failed(let reason) = await transport.post(Self.request, lane: 0) else {
                Issue.record("it was asked")
                return
            }
            #expect(reason.contains("webhooks.allow_private allows that"))
            #expect(receiver.connections == 0)
        }
    }

    @Test func `the connection goes to the address that was checked: a name is resolved once`() async throws {
        let asked = Mutex<[String]>([])
        let loopback = try #require(IPAddress([127, 0, 0, 1]))
        try await WebhookReceiver.serving { receiver, port in
            // The system knows no such name.
            let transport = try transport("http://receiver.invalid:\(port)/") { name in
                asked.withLock { $0.append(name) }
                return [loopback]
            }
            defer { transport.close() }
            #expect(await transport.post(Self.request, lane: 0) == .accepted)
            #expect(await transport.post(Self.request, lane: 0) == .accepted)
            #expect(asked.withLock { $0 } == ["receiver.invalid"])
            #expect(receiver.requests.first?.field("Host") == "receiver.invalid:\(port)")
        }
    }

    @Test func `a name whose addresses are partly private is never asked at those`() async throws {
        let addresses = [[127, 0, 0, 1], [10, 0, 0, 1]].compactMap(IPAddress.init)
        try await WebhookReceiver.serving { receiver, port in
            let transport = try transport("http://r.example:\(port)/", allowsPrivate: false) { _ in addresses
            }
            let outcome = await transport.post(Self.request, lane: 0)
            let reason = "r.example is 127.0.0.1, which is loopback; webhooks.allow_private allows that"
            #expect(outcome == .failed(reason))
            #expect(receiver.connections == 0)
        }
    }
}
