/// The secret that signs webhooks, so that a receiver knows who sent them. Never printed.
public struct WebhookSecret: Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    private let bytes: [UInt8]

    /// - Throws: `WebhookError.weakSecret` unless it has 16 to 256 visible ASCII characters.
    public init(_ text: String) throws(WebhookError) {
        let bytes = Array(text.utf8)
        guard (16...256).contains(bytes.count), bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .weakSecret
        }
        self.bytes = bytes
    }

    /// The `Herald-Signature` of a body: `t=SECONDS,v1=HEX`, HMAC-SHA256 over `SECONDS.BODY`.
    ///
    /// The time is signed along, so that a receiver can refuse what somebody recorded and sends again. The form is
    /// Stripe's, which many receivers can check already.
    ///
    /// `seconds`: Unix time of this attempt.
    func signature(of body: [UInt8], seconds: UInt64) -> String {
        let code = SHA256.authenticationCode(for: Array("\(seconds).".utf8) + body, key: bytes)
        let digits = code.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }
        return "t=\(seconds),v1=\(digits.joined())"
    }

    public var description: String { "(a webhook secret)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
