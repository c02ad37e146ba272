import HeraldCore
import HeraldSockets

/// What this node knows and wants of one key: every decision about a route is made here.
///
/// A lane has what it wants (`holder`, the session that is live; `claim`, the newest one that asks for the key),
/// what it believes of Redis (`Holder.epoch`, `residue`: something of ours that may stand there and must go)
/// and at most one `call` under way. Events change the facts; `nextCall` compares wish and belief and names the
/// one call that brings them closer. There is no table of states times events, so there is no forgotten cell:
/// whatever was interrupted, refused or lost, the next comparison finds it.
///
/// What leads where:
///
///     claimed ─▶ claim ─bind─▶ holder ─(older session gone)─▶ announced ─renew…▶ announced
///                  │              │                             │
///                  └── closed ────┴────────── closed ───────────┴─▶ residue ─unbind─▶ (empty)
///
/// Rules, each against a wrong state that was seen somewhere (LESSONS.md 1 and 2):
/// - One call at a time for a key: calls of different tasks may overtake each other, and an unbind that
///   overtakes a renewal leaves a ghost.
/// - The newest claim wins; an older session stays live until the newer one is bound, and the newer one is
///   announced only when the older one is closed: never both, and never neither without need.
/// - A call that failed may still happen later. For `doubt` after it the key is looked at once more after
///   cleaning up, and a refusal is checked before a session is closed for it.
/// - A bind whose session is gone when the answer comes is undone, and whoever it replaced is left alone: that
///   may be the user's real connection, whose next renewal puts its route back. Only where a third session turns
///   out to have the key is the replaced one told, for nobody else knows of it.
///
/// Copyable and hashable, unlike other machines here: a node has one for each key in motion, and a model
/// checker walks over its values.
struct KeyLane: Hashable, Sendable {
    private(set) var holder: Holder?
    private(set) var claim: Claim?
    private(set) var call: Call?
    private(set) var residue: Residue?
    /// An announced session that was told to close for a newer one and has not closed yet.
    private(set) var leaving: SocketID?
    /// A session of another node that lost the key to a bind of ours which was not wanted any more when its answer
    /// came. It is told once a newer claim of ours is bound, or when a third session turns out to have the key; it is
    /// left alone when our mapping was still there to be taken out, for then nobody has.
    private(set) var displaced: SessionID?
    private var isRenewalDue = false
    private var doubtUntil = Moment.past

    init() {}

    /// A lane in which nothing goes on.
    init(settled holder: Holder) { self.holder = holder }

    // MARK: What happens at the node

    mutating func claimed(_ session: Session, at now: Moment, _ rules: Rules, _ effects: inout [Effect]) {
        if let older = claim {
            effects.append(.close(older.session.socket, .replaced))
            abandonClaim(at: now, rules)
        }
        claim = Claim(session: session, since: now)
    }

    /// A socket of this key closed, for whatever reason.
    mutating func closed(
        _ socket: SocketID,
        for reason: DisconnectReason = .closed,
        at now: Moment,
        _ rules: Rules,
        _ effects: inout [Effect]
    ) {
        if leaving == socket {
            leaving = nil
            if holder?.isAnnounced == false, let newer = holder?.session.socket {
                holder?.isAnnounced = true
                effects.append(.announce(newer))
            }
        } else if let old = holder, old.session.socket == socket {
            holder = nil
            // What is due to be taken out or looked for was written after the holder's mapping, in its place.
            let isOverwritten = residue.map { $0.mapping != nil || $0.notBefore <= now } ?? false
            if !isOverwritten { leave(old.mapping, for: reason, at: now, rules) }
        } else if claim?.session.socket == socket {
            abandonClaim(at: now, rules)
        }
    }

    /// The session's mapping is gone, because its user has too many connections. The answer to its bind may come only
    /// now: then it was bound, and holds nothing any more.
    mutating func evicted(counter: UInt64, at now: Moment, _ rules: Rules, _ effects: inout [Effect]) {
        if holder?.session.counter == counter {
            dismissHolder(for: .tooManyConnections, &effects)
        } else if let claim, claim.session.counter == counter {
            effects.append(.close(claim.session.socket, .tooManyConnections))
            abandonClaim(at: now, rules)
        }
    }

    /// Somebody else asks to close the key's session: this very one, or whichever holds it.
    func closeOrdered(counter: UInt64?, code: CloseCode, _ effects: inout [Effect]) {
        if let holder, counter == nil || counter == holder.session.counter {
            effects.append(.close(holder.session.socket, code))
        }
        if let claim, counter == nil || counter == claim.session.counter {
            effects.append(.close(claim.session.socket, code))
        }
    }

    mutating func renewalDue() {
        if holder != nil { isRenewalDue = true }
    }

    /// Time passed: a claim that waited too long is refused, a residue that must have expired is forgotten.
    mutating func timePassed(to now: Moment, _ rules: Rules, _ effects: inout [Effect]) {
        if let waiting = claim, waiting.since + rules.patience <= now {
            effects.append(.close(waiting.session.socket, .routeUnavailable))
            abandonClaim(at: now, rules)
        }
        if let old = residue, old.until <= now { residue = nil }
    }

    // MARK: What Redis answers

    mutating func bindAnswered(
        _ outcome: BindOutcome,
        node: NodeID,
        at now: Moment,
        _ rules: Rules,
        _ effects: inout [Effect]
    ) {
        guard case .bind(let session, let incarnation) = call else { return }
        call = nil
        let isWanted = claim?.session == session
        switch outcome {
        case .bound(let route, let replaced, let evicted):
            forgetResidue(at: now, rules)
            let mapping = Mapping(incarnation: incarnation, counter: session.counter, epoch: route.epoch)
            let foreign = replaced?.node == node ? nil : replaced
            // Their mappings are gone and their ends are told, whatever becomes of ours.
            for route in evicted { effects.append(.evict(route)) }
            guard isWanted else {
                if let foreign { displaced = foreign }
                leave(mapping, at: now, rules)
                isRenewalDue = holder != nil
                return
            }
            claim = nil
            dismissHolder(&effects)
            holder = Holder(session: session, mapping: mapping, isAnnounced: leaving == nil)
            if leaving == nil { effects.append(.announce(session.socket)) }
            for loser in [displaced, foreign] {
                if let loser { effects.append(.tell(loser)) }
            }
            displaced = nil
        case .refused:
            dropClaim(of: session, .replaced, at: now, rules, &effects)
            dismissHolder(&effects)
            if displaced != nil { search(at: now, rules) }
        case .full: dropClaim(of: session, .tooManyConnections, at: now, rules, &effects)
        case .unusable: dropClaim(of: session, .routeUnavailable, at: now, rules, &effects)
        }
    }

    mutating func renewAnswered(
        _ outcome: RenewOutcome,
        at now: Moment,
        _ rules: Rules,
        _ effects: inout [Effect]
    ) {
        guard case .renew(let mapping) = call else { return }
        call = nil
        let isHeld = holder?.mapping.counter == mapping.counter
        switch outcome {
        case .renewed:
            if isHeld {
                holder?.mapping = mapping
            } else {
                leave(mapping, at: now, rules)
            }
        case .unusable:
            // The walk over all sessions asks again.
            if isHeld { holder?.mapping = mapping } else { forgetResidue(at: now, rules) }
        case .refused:
            if isHeld, now < doubtUntil {
                search(at: now, rules)
                isRenewalDue = true
            } else {
                forgetResidue(at: now, rules)
                if isHeld { dismissHolder(&effects) }
            }
        }
    }

    /// `wasThere`: whether our mapping was; else somebody else has the key, or Redis lost it.
    mutating func unbindAnswered(wasThere: Bool, at now: Moment, _ rules: Rules) {
        guard case .unbind = call else { return }
        call = nil
        if wasThere { displaced = nil }
        if displaced == nil { forgetResidue(at: now, rules) } else { search(at: now, rules) }
    }

    /// `found`: the session that has the key, and since when; nil when nobody has.
    mutating func findAnswered(
        _ found: Route?,
        node: NodeID,
        at now: Moment,
        _ rules: Rules,
        _ effects: inout [Effect]
    ) {
        guard case .find = call else { return }
        call = nil
        forgetResidue(at: now, rules)
        let loser = displaced.take()
        guard let found else { return }
        if let loser, loser != found.session, found.session.node != node { effects.append(.tell(loser)) }
        let mapping = Mapping(
            incarnation: found.session.incarnation,
            counter: found.session.counter,
            epoch: found.epoch
        )
        if found.session.node != node {
            if let holder, holder.mapping.epoch <= found.epoch { dismissHolder(&effects) }
        } else if holder?.mapping.counter == mapping.counter {
            // Its own bind or renewal, done once more after it was given up: what stands is the later one.
            holder?.mapping = mapping
        } else {
            leave(mapping, at: now, rules)
            isRenewalDue = holder != nil
        }
    }

    /// The call under way brought no answer: nothing is known of what it did or will do.
    mutating func callFailed(at now: Moment, _ rules: Rules) {
        guard let failed = call else { return }
        call = nil
        doubtUntil = now + rules.doubt
        switch failed {
        case .bind(let session, _):
            if claim?.session == session {
                claim?.wasSent = true
            } else {
                search(at: now, rules)
                isRenewalDue = holder != nil
            }
        case .renew(let mapping):
            if holder?.mapping.counter == mapping.counter {
                isRenewalDue = true
            } else if residue?.mapping != mapping {
                search(at: now, rules)
            }
        case .unbind, .find: break
        }
    }

    // MARK: Wish against belief

    /// The one call to make now, if any.
    ///
    /// `incarnation`: the node's, now; nil while it has no lease.
    func nextCall(at now: Moment, incarnation: Incarnation?) -> Call? {
        guard call == nil, let incarnation else { return nil }
        if let claim { return .bind(claim.session, incarnation) }
        if let residue, residue.notBefore <= now { return residue.mapping.map(Call.unbind) ?? .find }
        guard let holder else { return nil }
        if holder.mapping.incarnation != incarnation {
            var mapping = holder.mapping
            mapping.incarnation = incarnation
            return .renew(mapping)
        }
        return isRenewalDue ? .renew(holder.mapping) : nil
    }

    mutating func begin(_ call: Call) {
        precondition(self.call == nil, "a key has one call under way at a time")
        self.call = call
        if case .renew = call { isRenewalDue = false }
    }

    /// Nothing goes on but that a session holds the key: `holder` is all there is to know.
    func isSettled(at now: Moment) -> Bool {
        guard let holder, holder.isAnnounced else { return false }
        return call == nil && claim == nil && residue == nil && leaving == nil && !isRenewalDue
            && doubtUntil <= now
    }

    var isEmpty: Bool {
        holder == nil && claim == nil && call == nil && residue == nil && leaving == nil
    }

    // MARK: What only events call

    /// The bind of a session wrote nothing.
    private mutating func dropClaim(
        of session: Session,
        _ code: CloseCode,
        at now: Moment,
        _ rules: Rules,
        _ effects: inout [Effect]
    ) {
        forgetResidue(at: now, rules)
        guard claim?.session == session else { return }
        claim = nil
        effects.append(.close(session.socket, code))
    }

    /// The live session lost the key and shall go; its mapping is not in Redis any more.
    private mutating func dismissHolder(for code: CloseCode = .replaced, _ effects: inout [Effect]) {
        guard let old = holder else { return }
        holder = nil
        effects.append(.close(old.session.socket, code))
        if old.isAnnounced { leaving = old.session.socket }
    }

    private mutating func abandonClaim(at now: Moment, _ rules: Rules) {
        if claim?.wasSent == true {
            search(at: now, rules)
        }
        claim = nil
    }

    /// Nothing of ours stands in Redis; while a call that failed may still happen, that is not the last word.
    private mutating func forgetResidue(at now: Moment, _ rules: Rules) {
        if now < doubtUntil { search(at: doubtUntil, until: now + rules.routeTTL) } else { residue = nil }
    }

    /// Something of ours may stand in Redis: it has to be looked for.
    private mutating func search(at start: Moment, _ rules: Rules) {
        search(at: start, until: start + rules.routeTTL)
    }

    private mutating func search(at start: Moment, until end: Moment) {
        residue = Residue(mapping: nil, notBefore: start, until: end, reason: residue?.reason ?? .closed)
    }

    private mutating func leave(
        _ mapping: Mapping,
        for reason: DisconnectReason = .closed,
        at now: Moment,
        _ rules: Rules
    ) {
        residue = Residue(mapping: mapping, notBefore: now, until: now + rules.routeTTL, reason: reason)
    }
}
