import Glibc
import NIOCore
import NIOPosix

/// An HTTP client that sends exactly the bytes it is given and shows exactly what comes back.
enum RawClient {
    struct Response: Equatable {
        var status: Int
        /// Names in lower case; of a repeated one the last.
        var headers: [String: String]
        var body: String
    }

    /// Connects, and closes when the body is done.
    static func connected<Result: Sendable>(
        to port: Int,
        _ body: @Sendable (Connection) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(isOutboundHalfClosureEnabled: true)
                    )
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            let connection = Connection(
                channel: channel.channel,
                inbound: inbound.makeAsyncIterator(),
                outbound: outbound
            )
            return try await body(connection)
        }
    }

    /// Sends one request on a connection of its own.
    static func send(_ request: String, to port: Int) async throws -> Response {
        try await connected(to: port) { connection in
            try await connection.send(request)
            return try await connection.response(to: request)
        }
    }

    /// Sends a request made of its parts; the body's length is announced.
    static func request(
        _ method: String,
        _ path: String,
        headers: [String] = [],
        body: String? = nil,
        to port: Int
    ) async throws -> Response {
        var lines = ["\(method) \(path) HTTP/1.1"] + headers
        if !headers.contains(where: { $0.lowercased().hasPrefix("host:") }) {
            lines.append("Host: 127.0.0.1:\(port)")
        }
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        return try await send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""), to: port)
    }

    /// Used by one task.
    final class Connection {
        private let channel: any Channel
        fileprivate var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
        fileprivate let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
        private var received: [UInt8] = []

        fileprivate init(
            channel: any Channel,
            inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
            outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
        ) {
            self.channel = channel
            self.inbound = inbound
            self.outbound = outbound
        }

        func send(_ text: String) async throws {
            try await outbound.write(ByteBuffer(string: text))
        }

        func send(_ bytes: [UInt8]) async throws {
            try await outbound.write(ByteBuffer(bytes: bytes))
        }

        /// Sends nothing more, and goes on reading.
        func finish() { outbound.finish() }

        /// Ends the connection without a farewell.
        func reset() async throws {
            let socket = channel as? any SocketOptionProvider
            try await socket?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
            try await channel.close()
        }

        /// Reads until one whole response is there. HEAD's has no body, whatever its length says.
        func response(to request: String = "GET") async throws -> Response {
            while true {
                if let response = takeResponse(hasBody: !request.hasPrefix("HEAD")) { return response }
                guard try await receive() else {
                    throw Ended(received: String(decoding: received, as: UTF8.self))
                }
            }
        }

        /// Reads on until the other side closes.
        ///
        /// - Returns: what came that was not read as a response.
        func rest() async throws -> String {
            while try await receive() {}
            return String(decoding: received, as: UTF8.self)
        }

        private func receive() async throws -> Bool {
            guard let buffer = try await inbound.next() else { return false }
            received += Array(buffer: buffer)
            return true
        }

        private func takeResponse(hasBody: Bool) -> Response? {
            let end: [UInt8] = [13, 10, 13, 10]
            guard
                let split = (0..<max(0, received.count - 3)).first(where: {
                    received[$0..<$0 + 4].elementsEqual(end)
                })
            else { return nil }
            let head = String(decoding: received[..<split], as: UTF8.self).split(separator: "\r\n")
            var headers: [String: String] = [:]
            for line in head.dropFirst() {
                let parts = line.split(separator: ":", maxSplits: 1)
                headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
            }
            let status = head.first.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
            let length = hasBody ? headers["content-length"].flatMap { Int($0) } ?? 0 : 0
            let bodyStart = split + 4
            guard received.count >= bodyStart + length else { return nil }
            let body = String(decoding: received[bodyStart..<bodyStart + length], as: UTF8.self)
            received.removeFirst(bodyStart + length)
            return Response(status: status, headers: headers, body: body)
        }
    }

    /// The connection ended before the response did.
    struct Ended: Error { let received: String }
}
