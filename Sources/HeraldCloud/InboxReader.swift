import HeraldCore
import HeraldSockets
import Logging
import Synchronization

/// A page that a session waits for.
struct InboxRead: Sendable {
    var socket: SocketID
    var owner: InboxOwner
    var after: InboxPosition?
}

/// Reads pages of inboxes for the loops: the I/O around `InboxLane`.
///
/// Some reads at a time, so that a thousand returning clients do not stand before everybody else's commands; their
/// pages go back to the loop of the socket. While Redis is away a read is tried again and again for as long as a
/// client waits for its route, then answered as failed.
final class InboxReader: Sendable {
    struct Counts: Sendable {
        var pages: UInt64 = 0
        var failed: UInt64 = 0
    }

    /// Messages of one page: of the largest size it is 25 MiB, of the usual one 100 KiB.
    static let pageMax = 100
    /// Reads under way at once.
    private static let readsMax = 64
    private static let retry = Duration.milliseconds(250)
    /// Each session's inbox is looked at once in this time: for what was stored, and published to nobody.
    static let sweepSeconds = 30

    private let patience: Duration
    private let logger: Logger
    private let mailbox = Mailbox<InboxRead>()
    private let counted = Mutex(Counts())

    init(patience: Duration, logger: Logger) {
        self.patience = patience
        self.logger = logger
    }

    var counts: Counts { counted.withLock { $0 } }

    func post(_ reads: [InboxRead]) { mailbox.post(reads) }

    /// Runs until the task is cancelled.
    func run(_ inbox: any Inbox, ports: [LoopPort<SessionCommand>]) async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.sweep(ports) }
            while await mailbox.signal.next() {
                while true {
                    let reads = mailbox.take()
                    guard !reads.isEmpty else { break }
                    for start in stride(from: 0, to: reads.count, by: Self.readsMax) {
                        await read(reads[start..<min(reads.count, start + Self.readsMax)], inbox, ports)
                    }
                }
            }
            group.cancelAll()
        }
    }

    private func sweep(_ ports: [LoopPort<SessionCommand>]) async {
        var turn = 0
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(1))
            turn = (turn + 1) % Self.sweepSeconds
            for port in ports { _ = port.post([.doubtInboxes(turn: turn, of: Self.sweepSeconds)]) }
        }
    }

    private func read(
        _ reads: ArraySlice<InboxRead>,
        _ inbox: any Inbox,
        _ ports: [LoopPort<SessionCommand>]
    ) async {
        await withTaskGroup(of: (InboxRead, InboxPage?).self) { group in
            for read in reads { group.addTask { (read, await self.page(read, inbox)) } }
            for await (read, page) in group {
                // The session waits for it: a loop that has too much to do gets it later.
                while !ports[read.socket.loop].post([.inboxRead(read.socket, page)]) {
                    guard (try? await Task.sleep(for: Self.retry)) != nil else { return }
                }
            }
        }
    }

    private func page(_ read: InboxRead, _ inbox: any Inbox) async -> InboxPage? {
        let end = Moment.now() + patience
        while true {
            do throws(InboxError) {
                let page = try await inbox.read(read.owner, after: read.after, limit: Self.pageMax)
                counted.withLock { $0.pages += 1 }
                return page
            } catch {
                logger.debug("An inbox did not answer", metadata: ["error": "\(error)"])
                guard Moment.now() < end, (try? await Task.sleep(for: Self.retry)) != nil else { break }
            }
        }
        counted.withLock { $0.failed += 1 }
        return nil
    }
}
