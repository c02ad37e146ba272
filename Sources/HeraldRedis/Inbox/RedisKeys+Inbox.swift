import HeraldCore

/// No user's inbox has the name of a room's: a user's begins with a brace behind `inbox:`, and no id has one.
extension RedisKeys {
    /// A stream, the messages; and a hash, `…:head`: epoch, offset and what else outlives them.
    func inbox(_ owner: InboxOwner) -> [String] {
        let stream =
            switch owner {
            case .user(let user): "\(prefix)inbox:{\(user)}"
            case .room(let room): "\(prefix)inbox:room:{\(room)}"
            }
        return [stream, stream + ":head"]
    }
}
