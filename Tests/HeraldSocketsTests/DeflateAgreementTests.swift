import Testing

@testable import HeraldSockets

@Suite struct DeflateAgreementTests {
    /// The answer to these header fields; nil when no offer fits.
    private func answer(
        _ fields: [String],
        _ change: (inout DeflateSettings) -> Void = { _ in }
    ) throws -> String? {
        var settings = DeflateSettings()
        (settings.serverTakesOverContext, settings.clientTakesOverContext) = (true, true)
        change(&settings)
        let request = RequestHeadTests.upgrade(adding: fields.map { "Sec-WebSocket-Extensions: \($0)" })
        let head = try RequestHeadParser.parse(request).get()
        return DeflateAgreement.negotiate(try ExtensionOffer.all(in: head), settings)?.answer
    }

    @Test(arguments: [
        ("permessage-deflate", ""),
        ("permessage-deflate; client_max_window_bits", ""),
        ("permessage-deflate;server_no_context_takeover", "; server_no_context_takeover"),
        ("permessage-deflate; client_no_context_takeover", "; client_no_context_takeover"),
        ("permessage-deflate; server_max_window_bits=8", "; server_max_window_bits=8"),
        ("permessage-deflate; server_max_window_bits=\"10\"", "; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15"),
        ("permessage-deflate; client_max_window_bits=9", "; client_max_window_bits=9"),
        (
            "permessage-deflate ; server_max_window_bits = 12 ; client_max_window_bits",
            "; server_max_window_bits=12"
        ),
        ("x-webkit-deflate-frame, permessage-deflate", ""),
        (", ,permessage-deflate,", ""),
    ])
    func `what is offered rightly is taken`(offer: String, answer wanted: String) throws {
        #expect(try answer([offer]) == "permessage-deflate" + wanted)
    }

    @Test(arguments: [
        "permessage-deflate; unknown", "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08", "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=1", "permessage-deflate; client_max_window_bits=ten",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", "permessage-bzip2", "",
    ])
    func `what is offered wrongly is passed over, and the next offer taken`(offer: String) throws {
        #expect(try answer([offer]) == nil)
        let next = "permessage-deflate; client_no_context_takeover"
        #expect(try answer(["\(offer), \(next)"]) == next)
        #expect(try answer([offer, next]) == next)
        #expect(try answer(["\(next), \(offer)"]) == next)
    }

    @Test(arguments: [
        "permessage-deflate;", "permessage-deflate; =9", "permessage-deflate; a=", "permessage-deflate; a=\"",
        "permessage-deflate; a=\"b", "permessage-deflate; a=\"b c\"", "permessage-deflate x", "a/b", "\"a\"",
    ])
    func `what is not of the grammar is no upgrade`(field: String) throws {
        #expect(throws: RequestRefusal.badUpgrade) { try answer([field]) }
        #expect(throws: RequestRefusal.badUpgrade) { try answer(["permessage-deflate, \(field)"]) }
    }

    @Test func `our settings bound what a client may have`() throws {
        let forget: (inout DeflateSettings) -> Void = { settings in
            (settings.serverTakesOverContext, settings.clientTakesOverContext) = (false, false)
            (settings.serverWindowBitsMax, settings.clientWindowBitsMax) = (11, 10)
        }
        let name = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        #expect(try answer(["permessage-deflate"], forget) == name + "; server_max_window_bits=11")
        #expect(
            try answer(["permessage-deflate; client_max_window_bits; server_max_window_bits=9"], forget)
                == name + "; server_max_window_bits=9; client_max_window_bits=10"
        )
    }

    @Test func `an agreement remembers all of it in two bytes`() {
        for (server, client) in [(8, 15), (15, 8), (9, 12)] {
            let agreement = DeflateAgreement(
                serverWindowBits: server,
                clientWindowBits: client,
                serverTakesOver: server == 8,
                clientTakesOver: server == 15
            )
            #expect(agreement.isOn)
            #expect(agreement.serverWindowBits == server && agreement.clientWindowBits == client)
            #expect(agreement.serverTakesOver == (server == 8))
            #expect(agreement.clientTakesOver == (server == 15))
            #expect(agreement.keepsContext == (server != 9))
        }
        #expect(!DeflateAgreement.none.isOn)
        #expect(MemoryLayout<DeflateAgreement>.size == 2)
    }

    @Test func `settings that make no sense are named`() {
        var settings = DeflateSettings()
        #expect(settings.fault == nil)
        settings.clientWindowBitsMax = 8
        #expect(settings.fault?.contains("clientWindowBitsMax") == true)
        settings.level = 0
        #expect(settings.fault?.contains("level") == true)
    }
}
