import CValgrind
import Glibc
import HeraldCloud
import HeraldCore
import HeraldSockets
import HeraldTesting
import HeraldWire
import Logging

/// An envelope from the node's channel to 1,000 sockets of a room: decoded, encoded for clients, found in the hub and
/// written to the kernel. The whole node runs, on one loop, with its routes in memory.
///
/// The next envelope comes when every socket has the last one, so that none share a write. Reading costs this program
/// one system call a socket, some 60 of the instructions counted for it.
enum DeliverToRoom {
    private static let sockets = 1000

    static func run(_ count: Int) throws {
        let routes = MemoryRouteTable()
        let bus = LocalBus()
        let node = CloudNode(
            configuration: try configuration(),
            routes: routes,
            leaseRoutes: routes,
            bus: bus,
            messages: MemoryInbox(),
            logger: Logger(label: "costs") { _ in SwiftLogNoOpLogHandler() }
        )
        let thread = OneThread()
        // The process ends with the measurement, and these two with it.
        Task(executorPreference: thread) {
            do { try await node.run() } catch { thread.finish(.failure(error)) }
        }
        // On Swift's pool, where nothing else runs: it may block.
        Task {
            thread.finish(Result { try drive(bus, count) { node.port } })
        }
        try thread.serve()
    }

    /// Time plays no part: nothing is renewed, pinged or closed while it runs.
    private static func configuration() throws -> CloudConfiguration {
        var configuration = CloudConfiguration(node: try NodeID("cloud-1"))
        configuration.port = 0
        configuration.limits.leaseTTL = .seconds(7200)
        configuration.limits.leaseRenewal = .seconds(3600)
        configuration.limits.routeTTL = .seconds(7200)
        configuration.limits.routeRenewal = .seconds(3600)
        configuration.limits.connectDeadline = .seconds(3600)
        configuration.socketLimits.upgradeDeadline = .seconds(3600)
        // Paced over the interval: with 1,000 sockets one in three hours.
        configuration.socketLimits.pingInterval = .seconds(10_000_000)
        configuration.bindPatience = .seconds(3600)
        return configuration
    }

    private static func drive(_ bus: LocalBus, _ count: Int, port: () -> Int) throws {
        while port() == 0 { poll(nil, 0, 10) }
        var clients: [Client] = []
        for number in 0..<sockets {
            let target = "/ws?user=user-\(number)&key=phone&room=\(Sample.room)"
            let client = Client(try RawSocket(port: port(), target: target))
            try client.socket.receive(until: Array("}}".utf8))
            clients.append(client)
        }
        let message = BusMessage(node: try NodeID("cloud-1"), bytes: try Sample.envelope().encoded())
        let end = Sample.payload + Array("}}".utf8)
        bus.bring(message)
        var bytes = 0
        for client in clients { bytes = try client.socket.receive(until: end) }
        // How often a room's size is told while its members come depends on the time that takes.
        cvalgrind_zero_stats()
        for _ in 1..<count {
            bus.bring(message)
            for client in clients { try client.socket.discard(bytes) }
        }
    }
}

/// A socket that an array can hold.
private final class Client {
    let socket: RawSocket

    init(_ socket: consuming RawSocket) { self.socket = socket }
}
