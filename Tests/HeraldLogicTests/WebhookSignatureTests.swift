import Foundation
import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

struct WebhookSignatureTests {
    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// The examples of FIPS 180-4, and lengths around the padding's edges.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            String(repeating: "a", count: 1_000_000),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
    ])
    func `digests are those that were published`(text: String, digest: String) {
        #expect(hex(SHA256.digest(text.utf8)) == digest)
    }

    /// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
    @Test(arguments: [
        (
            [UInt8](repeating: 0x0B, count: 20), "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
            Array("Jefe".utf8), "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            [UInt8](repeating: 0xAA, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ])
    func `authentication codes are those that were published`(key: [UInt8], text: String, code: String) {
        #expect(hex(SHA256.authenticationCode(for: Array(text.utf8), key: key)) == code)
    }

    /// The lines that the README gives to receivers.
    private static let verification = """
        import hashlib, hmac, time

        def is_from_herald(body, signature, secret):
            fields = dict(part.split("=", 1) for part in signature.split(","))
            code = hmac.new(secret.encode(), fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
            return hmac.compare_digest(code, fields["v1"]) and abs(time.time() - int(fields["t"])) < 300
        """

    @Test func `a receiver in Python knows ours from others`() throws {
        let secret = "correct horse battery".replacing(" ", with: "-")
        let body = Array(#"{"events":[{"user":"älice"}]}"#.utf8)
        let seconds = WallClock.now.milliseconds / 1000
        let ours = try WebhookSecret(secret).signature(of: body, seconds: seconds)
        #expect(try python(body, ours, secret) == "True")
        #expect(try python(body + [32], ours, secret) == "False")
        #expect(try python(body, ours, secret + "x") == "False")
        let old = try WebhookSecret(secret).signature(of: body, seconds: seconds - 301)
        #expect(try python(body, old, secret) == "False")
    }

    private func python(_ body: [UInt8], _ signature: String, _ secret: String) throws -> String {
        let output = FileManager.default.temporaryDirectory.appending(path: "herald-\(UUID()).txt")
        defer { try? FileManager.default.removeItem(at: output) }
        let script =
            Self.verification + "\n\nimport sys\n"
            + "print(is_from_herald(bytes.fromhex(sys.argv[1]), sys.argv[2], sys.argv[3]))\n"
        let words = ["/usr/bin/python3", "-c", script, hex(body), signature, secret]
        let program = try Spawned(words, output: output.path, errors: output.path)
        #expect(program.end() == 0)
        return try String(contentsOf: output, encoding: .utf8).trimmingCharacters(in: .newlines)
    }

    @Test(arguments: ["", "short", "fifteen-letters", "sixteen with a space", "ümlaut-ümlaut-ümlaut"])
    func `a weak secret is refused`(text: String) {
        #expect(throws: WebhookError.weakSecret) { try WebhookSecret(text) }
    }

    @Test func `a secret is not printed`() throws {
        let secret = try WebhookSecret("0123456789abcdef")
        #expect(!"\(secret) \(String(reflecting: secret))".contains("0123"))
        var text = ""
        dump(WebhookConfiguration(url: try WebhookURL("http://a.example"), secret: secret), to: &text)
        #expect(text.contains("a.example") && !text.contains("0123") && !text.contains("- 48"))
    }

    @Test(
        arguments: [
            ("0", 0), ("120", 120), ("Tue, 06 Dec 1994 08:49:00 GMT", 30 * 86_400),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800 - 784_111_740),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 37),
            ("Sun, 06 Nov 1994 08:48:00 GMT", 0),
            ("-1", nil), ("1.5", nil), ("", nil), ("Sunday", nil), ("Sun, 06 Nov 1994 08:49:37 GMT+1", nil),
            ("99999999999", nil),
        ] as [(String, Int?)]
    )
    func `Retry-After is seconds or a date`(text: String, seconds: Int?) {
        #expect(RetryAfter.pause(text, now: 784_111_740) == seconds.map { .seconds($0) })
    }
}
