import HeraldCore
import HeraldRedis

/// What inboxes keep: the same for all processes of a system.
extension SettingTable {
    static let inbox: [Setting] = [
        .integer("inbox.count_max", \.inbox.countMax, 1...1_000_000, "Newest messages that an inbox keeps."),
        .duration(
            "inbox.age",
            \.inbox.age,
            .seconds(1)...(.seconds(365 * 86_400)),
            "How old a message may become."
        ),
        .integer("inbox.page_max", \.limits.inboxPageMax, 1...100_000, "Messages on one page."),
        .bytes(
            "inbox.push_bytes_max",
            \.limits.durableBytesMax,
            1024...(1 << 30),
            "What one durable push may write into all its inboxes."
        ),
    ]
}

extension HeraldSettings {
    /// The inboxes over a link that somebody else runs.
    func inboxes(_ link: RedisLink) -> RedisInbox {
        RedisInbox(link: link, prefix: redis.prefix, retention: inbox)
    }
}
