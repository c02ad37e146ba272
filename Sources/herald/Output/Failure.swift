/// Why a command ends without success: what is said on standard error, and the exit code.
struct Failure: Error, Equatable, CustomStringConvertible {
    let code: Code
    let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    /// Exit codes; every command's help tells its own.
    enum Code: Int32 {
        /// It worked, and the answer is no: not all were reached, a check failed.
        case no = 1
        /// The command line or a setting is wrong.
        case usage = 2
        /// Something it needs is out of reach or does not answer; trying again may help (sysexits' EX_UNAVAILABLE).
        case unavailable = 69
        /// It could not do its work for another reason (sysexits' EX_SOFTWARE).
        case failed = 70
    }
}
