/// The scripts of the inboxes.
extension RedisScript {
    static let inboxAppend = RedisScript(name: "inbox_append", source: PackageResources.inbox_append_lua)
    static let inboxRead = RedisScript(name: "inbox_read", source: PackageResources.inbox_read_lua)
    static let inboxDelete = RedisScript(name: "inbox_delete", source: PackageResources.inbox_delete_lua)

    static let inbox = [inboxAppend, inboxRead, inboxDelete]
}
