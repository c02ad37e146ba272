import HeraldCore
import Logging

/// Takes and keeps the node's lease: the I/O around `NodeLeaseStateMachine`.
///
/// It asks through a route table, and so a link, of its own: a renewal of the lease never waits behind thousands
/// of renewals of routes (DESIGN.md §7).
struct NodeLease<Routes: RouteTable>: Sendable {
    let routes: Routes
    let rules: NodeLeaseStateMachine.Rules
    let status: NodeStatus
    let keeper: RouteKeeper
    let logger: Logger
    /// What the node says of itself just now.
    let profile: @Sendable () -> NodeProfile
    let load: @Sendable () -> NodeLoad
    /// Raised to give the lease back and end.
    let stop: Signal

    /// Runs until it is stopped; gives the lease back then.
    ///
    /// - Throws: `CloudNodeError` when another run has the node's name, or the table refuses us.
    func run() async throws {
        let ending = await withTaskGroup(of: (any Error)?.self) { group in
            group.addTask {
                do { try await keep() } catch { return error }
                return nil
            }
            group.addTask {
                try? await stop.raised()
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            await group.waitForAll()
            return first
        }
        if let ending { throw ending }
        await leave()
    }

    private func keep() async throws {
        var machine = NodeLeaseStateMachine(rules, at: .now())
        while !Task.isCancelled {
            let now = Moment.now()
            switch machine.nextStep(at: now) {
            case .wait(let until): try? await Task.sleep(for: until.since(now))
            case .register: try await register(&machine)
            case .renew(let lease): try await renew(lease, &machine)
            case .fail(let holder): throw CloudNodeError.nodeHeld(by: holder)
            }
        }
    }

    private func register(_ machine: inout NodeLeaseStateMachine) async throws {
        let asked = Moment.now()
        do throws(RouteTableError) {
            let lease = try await routes.register(profile(), lease: rules.ttl)
            let ends = machine.registered(lease, asked: asked, at: .now())
            status.leaseTaken(lease, ends: ends)
            keeper.post([.leaseChanged(lease)])
            logger.info("The node is registered", metadata: ["incarnation": "\(lease.incarnation)"])
        } catch {
            switch error {
            case .nodeHeld(let incarnation, let url, let left):
                let holder = NodeLeaseStateMachine.HeldBy(incarnation: incarnation, url: url)
                if machine.nodeHeld(by: holder, left: .milliseconds(Int64(clamping: left)), at: .now()) {
                    logger.notice(
                        "An earlier run of this node still holds its lease; waiting for it to lapse",
                        metadata: [
                            "incarnation": "\(incarnation)", "url": "\(url)", "milliseconds": "\(left)",
                        ]
                    )
                }
            case .unavailable(let reason):
                machine.failed(at: .now())
                logger.warning("The node cannot register yet", metadata: ["reason": "\(reason)"])
            case .corrupt: throw CloudNodeError.routeTable(error)
            }
        }
    }

    private func renew(_ lease: Lease, _ machine: inout NodeLeaseStateMachine) async throws {
        let asked = Moment.now()
        let state: NodeState = status.current.isDraining ? .draining : .live
        do throws(RouteTableError) {
            let renewed = try await routes.renew(
                lease,
                profile: profile(),
                load: load(),
                state: state,
                for: rules.ttl
            )
            if let ends = machine.renewAnswered(renewed, asked: asked, at: .now()), let renewed {
                status.leaseTaken(renewed, ends: ends)
                keeper.post([.leaseChanged(renewed)])
            } else {
                status.leaseLost()
                keeper.post([.leaseChanged(nil)])
                logger.warning(
                    "The node's lease was lost; registering as a new incarnation",
                    metadata: ["incarnation": "\(lease.incarnation)"]
                )
            }
        } catch {
            machine.failed(at: .now())
            logger.debug("The lease could not be renewed", metadata: ["error": "\(error)"])
        }
    }

    /// Gives the lease back, so that the next run need not wait for it.
    private func leave() async {
        guard let lease = status.current.lease else { return }
        // A task of its own, waited for here: this one may be cancelled (the port was taken, a part failed), and a
        // cancelled task cannot ask Redis for anything.
        let leaving = Task { [routes] () async -> RouteTableError? in
            do throws(RouteTableError) {
                try await routes.leave(lease)
                return nil
            } catch {
                return error
            }
        }
        if let error = await leaving.value {
            // It lapses by itself.
            logger.debug("The lease could not be given back", metadata: ["error": "\(error)"])
        }
    }
}
