public import HeraldCore

/// What Redis holds under one key, and what its scripts make of it: `route_bind.lua`, `route_renew.lua` and
/// `route_unbind.lua` as a value.
///
/// How many other keys the user holds is not its business: it never answers `full`.
///
/// The memory table and the model checker decide with it; a differential test holds it against the Lua.
public struct KeyRecord: Hashable, Sendable {
    /// What was written last, over or not.
    public var stored: Route?

    /// How far apart two accepts must be for their order to be told by the clock.
    public static let slack = Duration.milliseconds(100)

    public init(_ stored: Route? = nil) { self.stored = stored }

    /// The mapping, unless its time is over.
    public func held(at now: RedisTime) -> Route? {
        stored.flatMap { $0.expires > now ? $0 : nil }
    }

    /// `accepted`: when the session was accepted, by Redis's clock; nil when that is not known.
    public mutating func bind(
        _ bind: Bind,
        accepted: ClosedRange<RedisTime>?,
        for duration: Duration,
        at now: RedisTime
    ) -> BindOutcome {
        var epoch = min(now, accepted?.lowerBound ?? now).milliseconds
        if let stored { epoch = max(epoch, stored.epoch.number + 1) }
        var replaced: SessionID?
        if let held = held(at: now) {
            let holder = held.session
            if holder == bind.session {
                epoch = held.epoch.number
            } else if isRefused(bind.session, accepted, by: held, at: now) {
                return .refused
            } else {
                replaced = holder
            }
        }
        let route = Route(
            name: bind.name,
            session: bind.session,
            epoch: Epoch(epoch),
            expires: now + duration
        )
        stored = route
        return .bound(route, replaced: replaced)
    }

    private func isRefused(
        _ session: SessionID,
        _ accepted: ClosedRange<RedisTime>?,
        by held: Route,
        at now: RedisTime
    ) -> Bool {
        let holder = held.session
        if holder.node == session.node {
            return (session.incarnation.number, session.counter)
                < (holder.incarnation.number, holder.counter)
        }
        guard let accepted else { return false }
        let since = RedisTime(milliseconds: held.epoch.number)
        return since > accepted.upperBound + Self.slack && since <= now + Self.slack
    }

    public mutating func renew(_ route: Route, for duration: Duration, at now: RedisTime) -> RenewOutcome {
        if let held = held(at: now), held.epoch >= route.epoch, !held.isSameAccept(as: route) {
            return .refused
        }
        var route = route
        route.expires = now + duration
        stored = route
        return .renewed(expires: route.expires)
    }

    /// - Returns: whether it was there and not over.
    public mutating func unbind(_ route: Route, at now: RedisTime) -> Bool {
        guard let old = stored, old.session == route.session, old.epoch == route.epoch else { return false }
        stored = nil
        return old.expires > now
    }
}

extension Route {
    /// Whether this is the other's mapping, as written by the same or an earlier incarnation of its node.
    fileprivate func isSameAccept(as other: Route) -> Bool {
        session.node == other.session.node && session.counter == other.session.counter
            && epoch == other.epoch && session.incarnation <= other.session.incarnation
    }
}
