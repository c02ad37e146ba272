import FoundationEssentials

/// RFC 4648 §4, with padding, nothing else in it.
enum Base64 {
    static func decode(_ text: String) throws(WireError) -> [UInt8] {
        guard let data = Data(base64Encoded: text) else { throw WireError(.badBase64, "is not base64") }
        return Array(data)
    }

    static func encode(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
}
