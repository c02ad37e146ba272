import HeraldCore
import HeraldLogic
import Testing

@testable import herald

@Suite struct PresenceSettingsTests {
    private func settings(_ assignments: String...) throws -> HeraldSettings {
        var layers = SettingsLayers { _ in "" }
        try layers.apply(set: assignments)
        return layers.settings
    }

    private static let url = "webhooks.url=https://example.org/hook"
    private static let secret = "webhooks.secret=0123456789abcdef"

    @Test func `rules of presence are settings`() throws {
        let settings = try settings(
            "presence.events=false",
            "presence.grace=0s",
            "presence.events_kept=5000",
            "presence.connections_per_user=3",
            "presence.when_full=refuse_newest"
        )
        #expect(!settings.presence.eventsAreWritten && settings.presence.grace == .zero)
        #expect(settings.presence.eventsKeptMax == 5000 && settings.presence.connectionsPerUserMax == 3)
        #expect(settings.presence.whenFull == .refuseNewest)
        #expect(HeraldSettings().presence == PresenceRules.standard)
    }

    @Test func `webhooks go nowhere unless they are told where`() throws {
        #expect(try HeraldSettings().webhookConfiguration() == nil)
        #expect(try settings(Self.secret).webhookConfiguration() == nil)
        let configuration = try settings(
            Self.url,
            Self.secret,
            "webhooks.allow_private=true",
            "webhooks.give_up_after=2h"
        ).webhookConfiguration()
        #expect(configuration?.url.description == "https://example.org/hook")
        #expect(configuration?.allowsPrivate == true && configuration?.giveUpAfter == .seconds(7200))
        #expect(configuration?.version == Herald.version)
    }

    @Test func `webhooks need a secret, and events`() throws {
        #expect {
            _ = try settings(Self.url).webhookConfiguration()
        } throws: { ($0 as? SettingsError)?.place == "webhooks.secret" }
        #expect {
            _ = try settings(Self.url, Self.secret, "presence.events=false").webhookConfiguration()
        } throws: { ($0 as? SettingsError)?.place == "webhooks.url" }
    }

    @Test(arguments: [
        "webhooks.url=example.org", "webhooks.url=https://me:secret@example.org/", "webhooks.secret=short",
        "webhooks.give_up_after=1s", "presence.when_full=panic", "presence.connections_per_user=-1",
    ])
    func `what cannot be is refused, without the secret`(assignment: String) {
        #expect {
            _ = try settings(assignment)
        } throws: { error in
            let value = assignment.split(separator: "=")[1]
            let isSecret = assignment.hasPrefix("webhooks.secret") || value.contains("@")
            return error is SettingsError && !(isSecret && "\(error)".contains(value))
        }
    }

    @Test func `the doctor looks at webhooks`() throws {
        #expect(HeraldSettings().presenceFindings.isEmpty)
        #expect(try settings(Self.url).presenceFindings.map(\.level) == [.fail])
        #expect(try settings(Self.url, Self.secret).presenceFindings.map(\.level) == [.ok])
        let plain = "webhooks.url=http://example.org/"
        #expect(try settings(plain, Self.secret).presenceFindings.map(\.level) == [.warn])
        let inner = try settings(plain, Self.secret, "webhooks.allow_private=true")
        #expect(inner.presenceFindings.map(\.level) == [.ok])
    }
}
