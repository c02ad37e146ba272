import HeraldCore
import NIOCore

/// Takes the requests that the lane has read.
protocol LeanDesk: Sendable {
    /// What a body may have.
    var limits: Limits { get }

    /// Takes one request and returns at once.
    ///
    /// - Parameters:
    ///   - request: its head, as read.
    ///   - bytes: begin with the request, whole; lent for the call.
    ///   - memory: the connection's.
    ///   - place: gets the answer, once, perhaps before this returns; nothing where it is `elsewhere`.
    /// - Returns: what is under way for it.
    func take(
        _ request: LeanRequest,
        _ bytes: UnsafeRawBufferPointer,
        _ memory: inout LeanAccessMemory,
        _ place: LeanPlace
    ) -> LeanWork

    /// Nobody waits for this any more.
    func cancel(_ work: LeanWork)
}

/// What came of a request.
enum LeanWork {
    /// It is one for the ordinary path after all. Nothing was done.
    case elsewhere
    /// It is answered.
    case nothing
    case pushes([PushTicket])
}

/// Where an answer belongs: a request of a connection.
struct LeanPlace: Sendable {
    let lane: NIOLoopBound<LeanLane>
    let loop: any EventLoop
    let number: UInt64

    /// From any thread, once.
    func answer(_ answer: LeanAnswer) {
        guard !loop.inEventLoop else { return lane.value.answered(number, answer) }
        loop.execute { lane.value.answered(number, answer) }
    }
}

/// What a connection was allowed last, so that the rule is asked once for each that keeps saying the same.
struct LeanAccessMemory {
    private var allowed: Fields?

    private struct Fields: Equatable {
        var host: [UInt8]
        var authorization: [UInt8]
        var origin: [UInt8]
    }

    /// - Parameters:
    ///   - rule: who may push.
    ///   - access: where the fields are.
    ///   - head: begins with the head.
    /// - Returns: why the request is refused; nil when it is not.
    mutating func objection(
        _ rule: AccessRule,
        _ access: LeanRequest.Access,
        _ head: UnsafeRawBufferPointer
    ) -> Problem? {
        if let allowed, Self.says(access.host, allowed.host, head),
            Self.says(access.authorization, allowed.authorization, head),
            Self.says(access.origin, allowed.origin, head)
        {
            return nil
        }
        func text(_ range: Range<Int>?) -> String? { range.map { String(decoding: head[$0], as: UTF8.self) } }
        let objection = rule.objection(
            to: AccessRule.Credentials(
                authorization: text(access.authorization),
                origin: text(access.origin),
                host: text(access.host)
            )
        )
        guard objection == nil else { return objection }
        func bytes(_ range: Range<Int>?) -> [UInt8] { range.map { [UInt8](head[$0]) } ?? [] }
        allowed = Fields(
            host: bytes(access.host),
            authorization: bytes(access.authorization),
            origin: bytes(access.origin)
        )
        return nil
    }

    /// In a time that does not tell how much of a key was right. A field that is not there says nothing.
    private static func says(_ range: Range<Int>?, _ words: [UInt8], _ head: UnsafeRawBufferPointer) -> Bool {
        guard let range else { return words.isEmpty }
        guard range.count == words.count, !words.isEmpty else { return false }
        var difference: UInt8 = 0
        for (word, index) in zip(words, range) { difference |= word ^ head[index] }
        return difference == 0
    }
}
