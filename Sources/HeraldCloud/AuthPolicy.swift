/// How a node finds out who a client is.
public struct AuthPolicy: Hashable, Sendable, CustomStringConvertible {
    private enum Value: String, Sendable { case none }
    private let value: Value

    /// The client is who it says it is. For local use: a node that listens elsewhere than on a loopback address
    /// refuses to start with it.
    public static let none = Self(value: .none)

    /// Reads what `description` writes; nil for anything else.
    public init?(_ text: String) {
        guard let value = Value(rawValue: text) else { return nil }
        self.value = value
    }

    private init(value: Value) { self.value = value }

    public var description: String { value.rawValue }

    /// Whether clients of other machines may come in.
    var isForLoopbackOnly: Bool { value == .none }
}

/// Which pages may open a socket here.
///
/// A browser lets any page connect anywhere and says where the page is from in `Origin`; without this check
/// every web page that somebody visits could connect to a node on that machine as any user. Programs send no
/// origin and are let in. `null` (files, sandboxed frames) is refused unless listed: any page can make
/// itself a frame whose origin is `null`.
struct OriginRule: Sendable {
    /// As browsers write them: `https://example.org`, `http://localhost:3000`; `*` allows all.
    let allowed: Set<String>

    init(allowed: [String]) {
        self.allowed = Set(allowed.map { $0.lowercased() })
    }

    /// `origins`: the values of all `Origin` fields.
    func allows(_ origins: [String]) -> Bool {
        guard let origin = origins.first?.lowercased() else { return true }
        guard origins.count == 1 else { return false }
        return allowed.contains("*") || allowed.contains(origin) || Self.isLoopback(origin)
    }

    private static func isLoopback(_ origin: String) -> Bool {
        for scheme in ["http://", "https://"] where origin.hasPrefix(scheme) {
            let authority = origin.dropFirst(scheme.count)
            for host in ["localhost", "127.0.0.1", "[::1]"] where authority.hasPrefix(host) {
                let port = authority.dropFirst(host.count)
                if port.isEmpty { return true }
                return port.first == ":" && port.count > 1 && port.dropFirst().allSatisfy(\.isASCIIDigit)
            }
        }
        return false
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}

/// Whether a numeric address means this machine only.
func isLoopbackAddress(_ host: String) -> Bool {
    if host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
}
