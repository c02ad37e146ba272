/// Where a Redis is and who we are there.
///
/// Written `redis://[user[:password]@]host[:port][/db]`, the same with `rediss://` for TLS, or
/// `unix:///path[?db=n]`. As in redis-cli, `redis://:secret@host` is a password without a user, and what is
/// no letter or digit in a user or password is percent-encoded.
public struct RedisAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Place: Hashable, Sendable {
        case tcp(host: String, port: Int, tls: Bool)
        case unix(path: String)
    }

    public var place: Place
    public var user: String?
    public var password: String?
    public var database: Int

    public init(place: Place, user: String? = nil, password: String? = nil, database: Int = 0) {
        self.place = place
        self.user = user
        self.password = password
        self.database = database
    }

    /// Reads an address.
    ///
    /// - Throws: `badAddress` that names the part which is wrong and shows no password.
    public init(_ text: String) throws(RedisError) {
        guard let colon = text.firstRange(of: "://") else {
            throw Self.bad("it must begin with redis://, rediss:// or unix://")
        }
        let rest = text[colon.upperBound...]
        switch text[..<colon.lowerBound] {
        case "redis": try self.init(authority: rest, tls: false)
        case "rediss": try self.init(authority: rest, tls: true)
        case "unix": try self.init(unix: rest)
        default: throw Self.bad("its scheme is none of redis, rediss and unix")
        }
    }

    private init(authority text: Substring, tls: Bool) throws(RedisError) {
        var rest = text
        if let at = rest.lastIndex(of: "@") {
            let login = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let user = try Self.decode(login[0], part: "user")
            self.user = user.isEmpty ? nil : user
            password = login.count > 1 ? try Self.decode(login[1], part: "password") : nil
            guard user.isEmpty || password != nil else { throw Self.bad("its user has no password") }
            rest = rest[rest.index(after: at)...]
        }
        guard !rest.contains(where: { $0 == "?" || $0 == "#" }) else {
            throw Self.bad("it has a query or fragment; the database is written /n")
        }
        database = 0
        if let slash = rest.firstIndex(of: "/") {
            let number = rest[rest.index(after: slash)...]
            if !number.isEmpty { database = try Self.database(number) }
            rest = rest[..<slash]
        }
        let (host, port) = try Self.hostAndPort(rest)
        place = .tcp(host: host, port: port, tls: tls)
    }

    private init(unix text: Substring) throws(RedisError) {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts[0].hasPrefix("/"), parts[0].utf8.count > 1 else {
            throw Self.bad("the path of its socket must be absolute")
        }
        // sockaddr_un on Linux holds 108 bytes with the NUL.
        guard parts[0].utf8.count < 108 else {
            throw Self.bad("the path of its socket is longer than 107 bytes")
        }
        place = .unix(path: String(parts[0]))
        database = 0
        if parts.count > 1 {
            guard parts[1].hasPrefix("db=") else { throw Self.bad("its query may only be db=n") }
            database = try Self.database(parts[1].dropFirst(3))
        }
    }

    private static func hostAndPort(_ text: Substring) throws(RedisError) -> (String, Int) {
        var host = text
        var port: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw bad("its IPv6 address lacks a ]") }
            host = text[text.index(after: text.startIndex)..<end]
            let after = text[text.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw bad("its port must follow a colon") }
            port = after.isEmpty ? nil : after.dropFirst()
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
            guard !host.contains(":") else { throw bad("an IPv6 address must stand in [ ]") }
        }
        guard !host.isEmpty else { throw bad("its host is empty") }
        guard host.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            throw bad("its host contains a space")
        }
        guard let port else { return (String(host), 6379) }
        guard port.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(port),
            (1...65535).contains(number)
        else { throw bad("its port is no number from 1 to 65535") }
        return (String(host), number)
    }

    private static func database(_ text: Substring) throws(RedisError) -> Int {
        guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(text), number <= 0xFFFF
        else {
            throw bad("its database is no number")
        }
        return number
    }

    private static func decode(_ text: Substring, part: String) throws(RedisError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let digits = String(rest.prefix(2)), let code = UInt8(digits, radix: 16)
            else {
                throw bad("a percent sign in its \(part) is not followed by two hexadecimal digits")
            }
            bytes.append(code)
            rest = rest.dropFirst(2)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else {
            throw bad("its \(part) is no UTF-8")
        }
        return decoded
    }

    private static func bad(_ reason: String) -> RedisError {
        RedisError(.badAddress, "the address of Redis cannot be read: \(reason)")
    }

    /// The address without user and password, for logs.
    public var description: String {
        switch place {
        case .tcp(let host, let port, let tls):
            "\(tls ? "rediss" : "redis")://\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)"
        case .unix(let path):
            "unix://\(path)?db=\(database)"
        }
    }
}

extension RedisAddress: CustomDebugStringConvertible, CustomReflectable {
    public var debugDescription: String { description }
    /// Without user and password too: `dump` and string interpolation of what holds an address look here.
    public var customMirror: Mirror { Mirror(self, children: ["address": description]) }
}
