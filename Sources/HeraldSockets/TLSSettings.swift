/// TLS on the engine's own port: 1.2 and 1.3, with ALPN `http/1.1`.
///
/// An idle connection costs some 14 KB in OpenSSL (measured); its buffers are released while nothing is under way. An
/// engine without TLS holds nothing for it. Where the kernel has TLS (`modprobe tls`), it encrypts once the handshake
/// is done, unless told not to.
public struct TLSSettings: Sendable, Hashable {
    /// The lowest version that is spoken.
    public enum Version: Sendable, Hashable {
        /// TLS 1.2, with forward secrecy and authenticated ciphers only.
        case tls12
        /// TLS 1.3.
        case tls13
    }

    /// A PEM file: the server's certificate, then those between it and the root.
    public var certificateFile: String
    /// A PEM file: the private key of the first certificate, without a passphrase.
    public var keyFile: String
    /// Clients that speak only older versions are refused.
    public var versionMin = Version.tls12
    /// Whether to hand the encryption over to the kernel when it can do it.
    public var usesKernelTLS = true

    /// TLS with this certificate and the defaults otherwise.
    public init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}
