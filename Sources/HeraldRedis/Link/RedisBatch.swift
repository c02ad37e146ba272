internal import NIOCore

/// Commands that one caller asked for together, and the way back to it.
///
/// Made by the caller, then owned by the link's loop.
// Safe because the caller touches it only before it is in the outbox (whose lock orders the two), and from then
// on only the loop does.
final class RedisBatch: @unchecked Sendable, Equatable {
    let bytes: ByteBuffer
    let commands: Int
    let timeout: Duration?
    /// The one connection it may go over; nil: any.
    let connection: Int?
    var values: [RedisValue] = []
    /// Nil for what the link itself asks, and once it was told.
    private var caller: Caller?
    var isCancelled = false
    var isWritten = false

    enum Caller {
        case task(UnsafeContinuation<Result<[RedisValue], RedisError>, Never>)
        /// Called on the link's loop, or on the caller's thread when the batch is refused at once.
        case function(@Sendable (Result<[RedisValue], RedisError>) -> Void)
    }

    init(_ commands: [RedisCommand], timeout: Duration?, connection: Int? = nil) {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(commands.reduce(0) { $0 + $1.bytes.count })
        for command in commands { bytes.writeBytes(command.bytes) }
        self.bytes = bytes
        self.commands = commands.count
        self.timeout = timeout
        self.connection = connection
    }

    func waits(_ caller: Caller) { self.caller = caller }

    func answer(_ result: Result<[RedisValue], RedisError>) {
        switch caller.take() {
        case .task(let continuation): continuation.resume(returning: result)
        case .function(let done): done(result)
        case nil: break
        }
    }

    static func == (left: RedisBatch, right: RedisBatch) -> Bool { left === right }
}
