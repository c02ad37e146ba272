import HTTPTypes
import HeraldCore

/// A path with places for parameters, such as `/v1/users/{user}`, as OpenAPI writes it.
///
/// Our own rather than Hummingbird's router, because ids may hold `/` and `%` and must come back exactly, because
/// a known path with a wrong method has to be told from an unknown path, and because openapi.yaml can then be
/// compared with the very list that is served.
struct PathTemplate: Sendable, CustomStringConvertible {
    let description: String
    private let segments: [Segment]

    private enum Segment: Sendable {
        case literal([UInt8])
        case parameter
    }

    init(_ text: String) {
        description = text
        segments = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map {
            $0.first == UInt8(ascii: "{") ? .parameter : .literal(Array($0))
        }
    }

    /// Compares with a path as it came, byte by byte; no slash is dropped and none is added.
    ///
    /// - Returns: what stands in the parameters' places, still encoded; nil when the path is another one.
    func match(_ path: String) -> [Substring]? {
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == segments.count else { return nil }
        var parameters: [Substring] = []
        for (part, segment) in zip(parts, segments) {
            switch segment {
            case .literal(let literal): guard part.elementsEqual(literal) else { return nil }
            case .parameter: parameters.append(Substring(part))
            }
        }
        return parameters
    }
}

/// What stands in the places of a template's parameters, decoded.
struct PathParameters: Sendable {
    private let values: [String]

    /// - Throws: `bad_path` when one is not percent-encoded UTF-8.
    init(_ encoded: [Substring]) throws(Problem) {
        var values: [String] = []
        for part in encoded { values.append(try Self.decode(part)) }
        self.values = values
    }

    /// The value in a place, counted from the left, as an id.
    func id<ID>(_ place: Int, _ make: (String) throws(InvalidIdentifier) -> ID) throws(Problem) -> ID {
        precondition(values.indices.contains(place), "a handler asks for the parameters of its template only")
        do { return try make(values[place]) } catch { throw Problem(error) }
    }

    private static func decode(_ part: Substring) throws(Problem) -> String {
        let malformed = Problem(
            .badRequest,
            "bad_path",
            "the path is not percent-encoded UTF-8: write a percent sign as %25 and a slash in an id as %2F"
        )
        guard part.utf8.contains(UInt8(ascii: "%")) else { return String(part) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(part.utf8.count)
        var rest = part.utf8.makeIterator()
        while let byte = rest.next() {
            if byte != UInt8(ascii: "%") {
                bytes.append(byte)
            } else if let high = rest.next().flatMap(hexadecimal), let low = rest.next().flatMap(hexadecimal)
            {
                bytes.append(high << 4 | low)
            } else {
                throw malformed
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw malformed }
        return text
    }

    static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
