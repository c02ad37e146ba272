import HeraldCore

/// Ids written out in tests, where they are known to be good.
extension NodeID {
    init(fixed text: String) {
        do { try self.init(text) } catch { preconditionFailure("\(text): \(error)") }
    }
}

extension UserID {
    init(fixed text: String) {
        do { try self.init(text) } catch { preconditionFailure("\(text): \(error)") }
    }
}

extension UserKey {
    init(fixed text: String) {
        do { try self.init(text) } catch { preconditionFailure("\(text): \(error)") }
    }
}

extension RoomID {
    init(fixed text: String) {
        do { try self.init(text) } catch { preconditionFailure("\(text): \(error)") }
    }
}

extension CollapseKey {
    init(fixed text: String) {
        do { try self.init(text) } catch { preconditionFailure("\(text): \(error)") }
    }
}

extension PushID {
    init(fixed text: String) {
        do { try self.init(text) } catch { preconditionFailure("\(text): \(error)") }
    }
}
