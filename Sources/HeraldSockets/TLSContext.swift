import COpenSSL
import Glibc
import Synchronization

/// A certificate and what is spoken with it, for all connections accepted while it is the current one.
///
/// Owns the `SSL_CTX`. OpenSSL counts its references: a connection keeps the one it began with.
///
// Safe because an SSL_CTX is not changed after `init`, and OpenSSL locks what its connections share in it.
final class TLSContext: @unchecked Sendable {
    private let context: OpaquePointer

    /// - Throws: `configuration`, naming the setting and the file that are wrong.
    init(_ settings: TLSSettings) throws(SocketEngineError) {
        guard let context = SSL_CTX_new(TLS_server_method()) else {
            throw .configuration("tls: no context: \(Self.lastError())")
        }
        self.context = context
        try speak(settings)
        try load(settings)
    }

    deinit {
        SSL_CTX_free(context)
    }

    /// A connection's side of TLS, waiting for its client's first message. The caller frees it.
    ///
    /// - Returns: nil when there is no memory for it.
    func session(descriptor: Int32) -> OpaquePointer? {
        guard let session = SSL_new(context) else { return nil }
        guard SSL_set_fd(session, descriptor) == 1 else {
            SSL_free(session)
            return nil
        }
        SSL_set_accept_state(session)
        return session
    }

    private func speak(_ settings: TLSSettings) throws(SocketEngineError) {
        let lowest = settings.versionMin == .tls12 ? TLS1_2_VERSION : TLS1_3_VERSION
        guard copenssl_set_versions(context, lowest, TLS1_3_VERSION) == 1,
            SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1
        else { throw .configuration("tls: this OpenSSL lacks what is asked of it: \(Self.lastError())") }
        SSL_CTX_set_options(context, copenssl_options(settings.usesKernelTLS ? 1 : 0))
        // A write may take part of what it was given, and be tried again from a buffer elsewhere. Idle connections
        // hold no buffers.
        let mode =
            SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS
        copenssl_set_mode(context, Int(mode))
        // One call takes one record: a peer that sends nothing but key updates must not keep the loop in one.
        copenssl_clear_mode(context, Int(SSL_MODE_AUTO_RETRY))
        // Clients resume with tickets, which cost the server no memory.
        copenssl_turn_session_cache_off(context)
        SSL_CTX_set_num_tickets(context, 1)
        SSL_CTX_set_alpn_select_cb(context, selectProtocol, nil)
    }

    private func load(_ settings: TLSSettings) throws(SocketEngineError) {
        for (name, file) in [("certificateFile", settings.certificateFile), ("keyFile", settings.keyFile)]
        where access(file, R_OK) != 0 {
            throw .configuration("tls.\(name) \(file) cannot be read: \(reason(of: errno))")
        }
        // OpenSSL would ask for a passphrase on the terminal.
        SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in 0 }
        guard SSL_CTX_use_certificate_chain_file(context, settings.certificateFile) == 1 else {
            throw .configuration(
                "tls.certificateFile \(settings.certificateFile) holds no PEM certificates: \(Self.lastError())"
            )
        }
        guard SSL_CTX_use_PrivateKey_file(context, settings.keyFile, SSL_FILETYPE_PEM) == 1 else {
            throw .configuration(
                "tls.keyFile \(settings.keyFile) holds no PEM key of the certificate, without passphrase: "
                    + Self.lastError()
            )
        }
    }

    /// OpenSSL's words for what went wrong last on this thread.
    private static func lastError() -> String {
        defer { ERR_clear_error() }
        let text = ERR_reason_error_string(ERR_peek_last_error())
        return text.map { String(cString: $0) } ?? "no reason given"
    }
}

/// Picks `http/1.1` of what the client offers; a client that offers only others would not understand us (RFC 7301).
private let selectProtocol:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?,
        UnsafePointer<UInt8>?, UInt32, UnsafeMutableRawPointer?
    ) -> Int32 = { _, chosen, chosenBytes, offered, offeredBytes, _ in
        // Names with their length before each; OpenSSL has checked that they fill the list.
        let wanted = "http/1.1".utf8
        let offers = UnsafeBufferPointer(start: offered, count: Int(offeredBytes))
        var index = 0
        while index < offers.count {
            let name = offers.dropFirst(index + 1).prefix(Int(offers[index]))
            if name.elementsEqual(wanted), let start = offered {
                chosen?.pointee = start + index + 1
                chosenBytes?.pointee = UInt8(name.count)
                return SSL_TLSEXT_ERR_OK
            }
            index += 1 + name.count
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }

/// The context for new connections: one for all loops, exchanged when the certificate is.
final class TLSCertificate: Sendable {
    let settings: TLSSettings
    private let current: Mutex<TLSContext>

    init(_ settings: TLSSettings) throws(SocketEngineError) {
        self.settings = settings
        current = Mutex(try TLSContext(settings))
    }

    /// Asked once for each accepted connection.
    var context: TLSContext { current.withLock { $0 } }

    /// Reads the files again. When they are wrong, everything stays as it was.
    func reload() throws(SocketEngineError) {
        let next = try TLSContext(settings)
        current.withLock { $0 = next }
    }
}
