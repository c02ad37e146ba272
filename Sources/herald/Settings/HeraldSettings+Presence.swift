import HeraldCore
import HeraldLogic
import Logging

extension HeraldSettings {
    /// `presence.when_full` as the table reads and writes it.
    var whenFull: String {
        get { presence.whenFull.rawValue }
        set { presence.whenFull = PresenceRules.WhenFull(rawValue: newValue) ?? presence.whenFull }
    }

    /// Where webhooks go; nil when nowhere.
    ///
    /// - Throws: `SettingsError` when what belongs together is not there together.
    func webhookConfiguration() throws(SettingsError) -> WebhookConfiguration? {
        guard !webhooks.url.isEmpty else { return nil }
        guard !webhooks.secret.isEmpty else {
            throw SettingsError(
                place: "webhooks.secret",
                reason: "must be set when webhooks.url is: it signs what is sent"
            )
        }
        guard presence.eventsAreWritten else {
            throw SettingsError(
                place: "webhooks.url",
                reason: "needs presence.events: without events there is nothing to send"
            )
        }
        do {
            var configuration = WebhookConfiguration(
                url: try WebhookURL(webhooks.url),
                secret: try WebhookSecret(webhooks.secret)
            )
            configuration.allowsPrivate = webhooks.allowsPrivate
            configuration.giveUpAfter = webhooks.giveUpAfter
            configuration.version = Herald.version
            return configuration
        } catch { throw SettingsError(place: "webhooks", reason: "\(error)") }
    }

    /// What the doctor finds in these settings.
    var presenceFindings: [Finding] {
        guard !webhooks.url.isEmpty else { return [] }
        let configuration: WebhookConfiguration?
        do { configuration = try webhookConfiguration() } catch {
            return [Finding(.fail, "webhooks", "\(error)", todo: "logic does not start like this")]
        }
        guard let configuration else { return [] }
        guard configuration.url.isSecure || configuration.allowsPrivate else {
            return [
                Finding(
                    .warn,
                    "webhooks",
                    "\(configuration.url) is not encrypted: who came and who went can be read on the way",
                    todo: "use https://"
                )
            ]
        }
        return [Finding(.ok, "webhooks", "go to \(configuration.url)")]
    }
}
