/// Where presence events are sent, and how.
public struct WebhookConfiguration: Sendable {
    public var url: WebhookURL
    public var secret: WebhookSecret
    /// Whether the receiver may be on this machine or in a private network.
    public var allowsPrivate = false
    /// Events that are older are not tried again.
    public var giveUpAfter: Duration = .seconds(86_400)
    /// Told to the receiver as `User-Agent: Herald/VERSION`.
    public var version = "0"

    public init(url: WebhookURL, secret: WebhookSecret) {
        self.url = url
        self.secret = secret
    }
}
