import HeraldCore
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

struct KeeperOutboxTests {
    @Test func `what is more than a loop takes at once comes in pieces, all of it and in order`() {
        let mailbox = LoopMailbox<SessionCommand>(backlogMax: 10)
        var outbox = KeeperOutbox([LoopPort(loop: 0, mailbox: mailbox)], pieceMax: 4)
        let sockets = (0..<25).map { SocketID(loop: 0, slot: $0, generation: 1) }
        _ = outbox.post(sockets.map { .announce($0) })
        var arrived: [SocketID] = []
        for round in 0..<3 {
            var commands: [SessionCommand] = []
            _ = mailbox.take(&commands)
            #expect(commands.count == (round < 2 ? 8 : 9))
            for case .bound(let socket) in commands { arrived.append(socket) }
            // Whatever comes next takes the rest along.
            _ = outbox.post([])
        }
        #expect(arrived == sockets)
    }
}
