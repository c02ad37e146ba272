import COpenSSL
import Foundation
import Glibc
import HeraldTesting

@testable import HeraldSockets

/// The blocking client, speaking TLS with a context of its own. It believes any certificate and remembers its name.
final class TLSTestClient: TestClient {
    private var context: OpaquePointer?
    private var session: OpaquePointer?

    /// What the client offers.
    struct Offer {
        var version = TLS1_3_VERSION
        var protocols = ["http/1.1"]
    }

    /// Connects; `shakeHands` is still to come.
    convenience init(tls port: Int, offer: Offer = Offer(), receiveBufferBytes: Int? = nil) throws {
        try self.init(port: port, receiveBufferBytes: receiveBufferBytes)
        context = SSL_CTX_new(TLS_client_method())
        guard let context, copenssl_set_versions(context, offer.version, offer.version) == 1 else {
            throw Failure(description: "no context")
        }
        session = SSL_new(context)
        let names = offer.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        SSL_set_alpn_protos(session, names, UInt32(names.count))
        SSL_set_fd(session, descriptor)
    }

    deinit {
        SSL_free(session)
        SSL_CTX_free(context)
    }

    /// Connects, shakes hands and upgrades.
    static func open(
        tls port: Int,
        offer: Offer = Offer(),
        receiveBufferBytes: Int? = nil
    ) throws -> TLSTestClient {
        let client = try TLSTestClient(tls: port, offer: offer, receiveBufferBytes: receiveBufferBytes)
        try client.shakeHands()
        try client.upgrade()
        return client
    }

    func shakeHands() throws {
        guard SSL_connect(session) == 1 else { throw Failure(description: "no handshake") }
    }

    /// Sends the first message of the handshake and does not wait for the answer.
    func beginHandshake() {
        let flags = fcntl(descriptor, F_GETFL)
        _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
        SSL_connect(session)
        _ = fcntl(descriptor, F_SETFL, flags)
    }

    /// Tells the server that the key for what follows is another one, and asks for nothing.
    func updateKey() {
        SSL_key_update(session, SSL_KEY_UPDATE_NOT_REQUESTED)
        SSL_do_handshake(session)
    }

    /// Past OpenSSL, as a proxy's header goes.
    func sendPlain(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { super.put($0) }
    }

    /// The common name of the server's certificate.
    var serverName: String {
        guard let certificate = SSL_get1_peer_certificate(session) else { return "" }
        defer { X509_free(certificate) }
        var name = [CChar](repeating: 0, count: 64)
        X509_NAME_get_text_by_NID(
            X509_get_subject_name(certificate),
            NID_commonName,
            &name,
            Int32(name.count)
        )
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// What the server picked by ALPN; empty when nothing.
    var chosenProtocol: String {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(session, &name, &count)
        return String(decoding: UnsafeBufferPointer(start: name, count: Int(count)), as: UTF8.self)
    }

    var version: Int32 { SSL_version(session) }

    /// Whether the server said that it would send no more, rather than just being gone.
    var wasToldTheEnd: Bool { SSL_get_shutdown(session) & SSL_RECEIVED_SHUTDOWN != 0 }

    override func put(_ bytes: UnsafeRawBufferPointer) -> Int {
        Int(SSL_write(session, bytes.baseAddress, Int32(bytes.count)))
    }

    override func take(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        max(0, Int(SSL_read(session, buffer.baseAddress, Int32(buffer.count))))
    }
}

/// Certificates that sign themselves, in a folder that goes when the object goes.
final class TestCertificates {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "herald-tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    func file(_ name: String) -> String { folder.appending(path: name).path }

    /// Settings with files of their own, which hold a certificate of that name.
    func settings(_ name: String) throws -> TLSSettings {
        try make(name)
        return TLSSettings(certificateFile: file("\(name).pem"), keyFile: file("\(name).key"))
    }

    func make(_ name: String) throws {
        let openssl = try Spawned([
            "/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=\(name)", "-keyout", file("\(name).key"), "-out",
            file("\(name).pem"),
        ])
        guard openssl.end() == 0 else {
            throw TestClient.Failure(description: "openssl makes no certificate")
        }
    }

    /// Puts one pair of files in the place of another.
    func replace(_ name: String, by other: String) throws {
        for ending in ["pem", "key"] {
            let bytes = try Data(contentsOf: folder.appending(path: "\(other).\(ending)"))
            try bytes.write(to: folder.appending(path: "\(name).\(ending)"))
        }
    }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: folder.appending(path: name))
    }
}
