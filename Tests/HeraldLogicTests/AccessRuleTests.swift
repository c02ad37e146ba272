import HeraldCore
import Testing

@testable import HeraldLogic

struct AccessRuleTests {
    private let key: APIKey

    init() throws { key = try APIKey("a-key-of-some-length") }

    @Test(
        arguments: [
            (nil, nil, nil), (nil, "localhost", nil), (nil, "LOCALHOST:8080", nil),
            (nil, "127.0.0.1:8080", nil),
            (nil, "[::1]:8080", nil), (nil, "10.1.2.3", nil), (nil, "evil.example", "strange_host"),
            (nil, "127.0.0.1.evil.example", "strange_host"),
            (nil, "localhost.evil.example:80", "strange_host"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", nil),
            ("http://127.0.0.1:9999", "127.0.0.1:8080", "strange_origin"),
            ("http://evil.example", "127.0.0.1:8080", "strange_origin"),
            ("null", "127.0.0.1:8080", "strange_origin"), ("http://evil.example", nil, "strange_origin"),
        ] as [(String?, String?, String?)]
    )
    func `without a key, web pages are kept out`(origin: String?, host: String?, code: String?) {
        let objection = AccessRule(key: nil).objection(
            to: AccessRule.Credentials(authorization: nil, origin: origin, host: host)
        )
        #expect(objection?.code == code)
    }

    @Test(
        arguments: [
            ("Bearer a-key-of-some-length", nil), ("bearer a-key-of-some-length", nil), (nil, "unauthorized"),
            ("", "unauthorized"), ("Bearer", "unauthorized"), ("Bearer ", "unauthorized"),
            ("Bearer a-key-of-some-lengtH", "unauthorized"), ("Bearer a-key-of-some-length-", "unauthorized"),
            ("Bearer a-key-of-some", "unauthorized"), ("a-key-of-some-length", "unauthorized"),
            ("Bearer  a-key-of-some-length", "unauthorized"),
        ] as [(String?, String?)]
    )
    func `with a key, only who shows it gets in`(authorization: String?, code: String?) {
        let objection = AccessRule(key: key).objection(
            to: AccessRule.Credentials(authorization: authorization, origin: "http://a", host: "b")
        )
        #expect(objection?.code == code)
    }
}
