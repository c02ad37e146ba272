/// One element of `Sec-WebSocket-Extensions` (RFC 6455, 9.1): a name and its parameters, in their order.
struct ExtensionOffer: Equatable {
    struct Parameter: Equatable {
        var name: String
        /// nil when there is no equals sign.
        var value: String?
    }

    var name: String
    var parameters: [Parameter] = []

    /// All offers of a request, those of several fields one after the other.
    ///
    /// - Throws: `badUpgrade` when a field breaks the grammar: RFC 6455 wants the connection failed then, and what
    ///   was meant would be a guess.
    static func all(in head: HTTPRequestHead) throws(RequestRefusal) -> [ExtensionOffer] {
        var offers: [ExtensionOffer] = []
        for field in head.fields where head.matches(field.name, "sec-websocket-extensions") {
            var scanner = Scanner(rest: head.bytes[field.value])
            offers += try scanner.list()
        }
        return offers
    }

    /// Reads the grammar from left to right.
    private struct Scanner {
        var rest: ArraySlice<UInt8>

        mutating func list() throws(RequestRefusal) -> [ExtensionOffer] {
            var offers: [ExtensionOffer] = []
            repeat {
                skipBlanks()
                // Empty elements are allowed in lists (RFC 9110, 5.6.1).
                guard rest.first != nil, rest.first != UInt8(ascii: ",") else { continue }
                offers.append(try offer())
            } while take(",")
            guard rest.isEmpty else { throw .badUpgrade }
            return offers
        }

        private mutating func offer() throws(RequestRefusal) -> ExtensionOffer {
            var offer = ExtensionOffer(name: try token())
            while take(";") {
                skipBlanks()
                var parameter = Parameter(name: try token())
                if take("=") {
                    skipBlanks()
                    parameter.value = try rest.first == UInt8(ascii: "\"") ? quoted() : token()
                }
                offer.parameters.append(parameter)
            }
            return offer
        }

        private mutating func token() throws(RequestRefusal) -> String {
            let token = rest.prefix(while: ASCII.isToken)
            guard !token.isEmpty else { throw .badUpgrade }
            rest = rest.dropFirst(token.count)
            return String(decoding: token, as: UTF8.self)
        }

        /// Between the quotes there must be a token again.
        private mutating func quoted() throws(RequestRefusal) -> String {
            rest = rest.dropFirst()
            let value = try token()
            guard take("\"", skippingBlanks: false) else { throw .badUpgrade }
            return value
        }

        private mutating func take(_ character: Unicode.Scalar, skippingBlanks: Bool = true) -> Bool {
            if skippingBlanks { skipBlanks() }
            guard rest.first == UInt8(ascii: character) else { return false }
            rest = rest.dropFirst()
            return true
        }

        private mutating func skipBlanks() {
            rest = rest.drop(while: ASCII.isBlank)
        }
    }
}
