extension HTTPRequestHead {
    /// A query that cannot be decoded. The right answer is 400.
    public enum QueryError: Error, Hashable {
        /// A percent sign without two hexadecimal digits after it.
        case badEscape
        /// The decoded bytes are not UTF-8.
        case notUTF8
        /// A decoded control character.
        case controlCharacter
    }

    /// One pair of the query, decoded.
    public struct QueryItem: Sendable, Hashable {
        /// What stands before the first equals sign.
        public let name: String
        /// What stands after it; empty when there is none.
        public let value: String
    }

    /// The query's pairs in their order, decoded as forms are (`URLSearchParams`, `urlencode`, `url.Values`
    /// write them so): `%41` is a letter and `+` a space. Empty pairs (`&&`) are left out.
    public func query() throws(QueryError) -> [QueryItem] {
        guard let queryRange else { return [] }
        var items: [QueryItem] = []
        for pair in bytes[queryRange].split(separator: UInt8(ascii: "&")) {
            let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let name = try Self.decoded(pair[..<equals])
            let value = try Self.decoded(pair[min(equals + 1, pair.endIndex)...])
            items.append(QueryItem(name: name, value: value))
        }
        return items
    }

    private static func decoded(_ encoded: ArraySlice<UInt8>) throws(QueryError) -> String {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(encoded.count)
        var index = encoded.startIndex
        while index < encoded.endIndex {
            var byte = encoded[index]
            index += 1
            if byte == UInt8(ascii: "%") {
                guard index + 2 <= encoded.endIndex,
                    let high = ASCII.hexValue(encoded[index]), let low = ASCII.hexValue(encoded[index + 1])
                else { throw .badEscape }
                byte = high << 4 | low
                index += 2
            } else if byte == UInt8(ascii: "+") {
                byte = UInt8(ascii: " ")
            }
            guard byte >= 0x20, byte != 0x7F else { throw .controlCharacter }
            decoded.append(byte)
        }
        guard let string = String(validating: decoded, as: UTF8.self) else { throw .notUTF8 }
        return string
    }
}
