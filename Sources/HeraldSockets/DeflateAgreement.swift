/// What client and server agreed on for permessage-deflate (RFC 7692, 7); decisions only.
///
/// Two bytes, since every socket holds one.
struct DeflateAgreement: Equatable {
    /// Window bits, the server's in the lower half (0: no compression at all), the client's in the upper.
    private var windows: UInt8 = 0
    private var takeovers: UInt8 = 0

    /// No compression.
    static let none = DeflateAgreement()

    private init() {}

    init(serverWindowBits: Int, clientWindowBits: Int, serverTakesOver: Bool, clientTakesOver: Bool) {
        precondition((8...15).contains(serverWindowBits), "a window has 8 to 15 bits")
        precondition((8...15).contains(clientWindowBits), "a window has 8 to 15 bits")
        windows = UInt8(serverWindowBits | clientWindowBits << 4)
        takeovers = (serverTakesOver ? 1 : 0) | (clientTakesOver ? 2 : 0)
    }

    var isOn: Bool { windows != 0 }
    var serverWindowBits: Int { Int(windows & 0x0F) }
    var clientWindowBits: Int { Int(windows >> 4) }
    /// Whether each side's compressor remembers earlier messages.
    var serverTakesOver: Bool { takeovers & 1 != 0 }
    var clientTakesOver: Bool { takeovers & 2 != 0 }
    var keepsContext: Bool { takeovers != 0 }

    /// Takes the first offer that can be taken. An offer with an unknown, repeated or ill-valued parameter is passed
    /// over, as RFC 7692 7.1 wants.
    ///
    /// - Returns: the agreement, and the value of the answer's `Sec-WebSocket-Extensions`; nil when no offer fits.
    static func negotiate(
        _ offers: [ExtensionOffer],
        _ settings: DeflateSettings
    ) -> (agreement: DeflateAgreement, answer: String)? {
        for offer in offers {
            guard let wish = Wish(offer) else { continue }
            return accept(wish, settings)
        }
        return nil
    }

    private static func accept(
        _ wish: Wish,
        _ settings: DeflateSettings
    ) -> (agreement: DeflateAgreement, answer: String) {
        let serverBits = min(wish.serverWindowBits ?? 15, settings.serverWindowBitsMax)
        // Only a client that named the parameter can be told a window.
        let clientBits = wish.clientWindowBits.map { min($0, settings.clientWindowBitsMax) } ?? 15
        let agreement = DeflateAgreement(
            serverWindowBits: serverBits,
            clientWindowBits: clientBits,
            serverTakesOver: settings.serverTakesOverContext && !wish.serverForgets,
            clientTakesOver: settings.clientTakesOverContext && !wish.clientForgets
        )
        var answer = Wish.name
        if !agreement.serverTakesOver { answer += "; server_no_context_takeover" }
        if !agreement.clientTakesOver { answer += "; client_no_context_takeover" }
        if serverBits < 15 || wish.serverWindowBits != nil {
            answer += "; server_max_window_bits=\(serverBits)"
        }
        if clientBits < 15 { answer += "; client_max_window_bits=\(clientBits)" }
        return (agreement, answer)
    }

    /// A well-formed offer of permessage-deflate.
    private struct Wish {
        static let name = "permessage-deflate"

        var serverForgets = false
        var clientForgets = false
        var serverWindowBits: Int?
        /// 15 when the parameter came without a value; nil when it did not come.
        var clientWindowBits: Int?

        init?(_ offer: ExtensionOffer) {
            guard offer.name == Self.name else { return nil }
            for (position, parameter) in offer.parameters.enumerated() {
                guard !offer.parameters[..<position].contains(where: { $0.name == parameter.name }) else {
                    return nil
                }
                switch (parameter.name, parameter.value) {
                case ("server_no_context_takeover", .none): serverForgets = true
                case ("client_no_context_takeover", .none): clientForgets = true
                case ("client_max_window_bits", .none): clientWindowBits = 15
                case ("client_max_window_bits", .some(let value)):
                    guard let bits = Self.windowBits(value) else { return nil }
                    clientWindowBits = bits
                case ("server_max_window_bits", .some(let value)):
                    guard let bits = Self.windowBits(value) else { return nil }
                    serverWindowBits = bits
                default: return nil
                }
            }
        }

        /// Decimal, 8 to 15, without leading zeros or signs.
        private static func windowBits(_ value: String) -> Int? {
            ["8", "9", "10", "11", "12", "13", "14", "15"].firstIndex(of: value).map { $0 + 8 }
        }
    }
}
