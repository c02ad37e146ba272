import Testing

@testable import HeraldRedis

@Suite struct RedisReplyErrorTests {
    private static let script = "ERR Error running script (call to f_83e03ec05d6a3b6fb48483accf5e5945): "

    @Test(arguments: [
        ("OOM", "command not allowed when used memory > 'maxmemory'."),
        ("READONLY", "You can't write against a read only replica."),
        ("NOREPLICAS", "Not enough good replicas to write."),
        ("MISCONF", "Errors writing to the AOF file: No space left on device"),
        ("LOADING", "Redis is loading the dataset in memory"),
        ("MASTERDOWN", "Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        ("BUSY", "Redis is busy running a script."),
    ])
    func `a passing trouble is known in a script too`(_ code: String, _ words: String) {
        let line = "\(code) \(words)"
        for text in [
            line, "\(line) script: 83e03ec0, on @user_script:12.",
            // As Redis 6.2 has it: where it ran the command, and where it did not even try.
            "\(Self.script)@user_script:12: \(line)",
            "\(Self.script)@user_script:12: @user_script: 12: -\(line)",
            "\(Self.script)-\(line)",
        ] {
            let error = RedisReplyError(text)
            #expect(error.code == code && error.isPassing && error.description == text)
        }
    }

    private static let others: [(String, String)] = [
        ("WRONGTYPE Operation against a key", "WRONGTYPE"), ("ERR", "ERR"), ("", ""),
        ("ERR READONLY is no word of mine", "ERR"), ("ERR user_script:1: READONLY", "ERR"),
        ("\(script)@user_script:7: WRONGTYPE Operation against a key", "WRONGTYPE"),
        ("\(script)@user_script:7: ERR wrong number of arguments", "ERR"),
        ("\(script)@user_script:7: user_script:7: OOM is what the script says", "ERR"),
        ("\(script)@enable_strict_lua:15: user_script:1: Script attempted", "ERR"),
        ("\(script)@user_script", "ERR"), ("\(script)@user_script:7", "ERR"), (script, "ERR"),
        ("\(script)@user_script:7: -", "ERR"), ("ERR Error running script (call to f_8", "ERR"),
    ]

    @Test(arguments: others)
    func `any other trouble does not pass`(_ text: String, _ code: String) {
        let error = RedisReplyError(text)
        #expect(error.code == code && !error.isPassing)
    }
}
