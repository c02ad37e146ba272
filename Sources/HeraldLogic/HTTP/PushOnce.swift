import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore

/// Pushes with an idempotency key: a repeat of a request is answered as the request was, and sent by nobody else.
///
/// The key is claimed before anything is sent, with the push's id and for the time that the push may take. A
/// repeat that comes meanwhile waits for the answer, as long as a push may wait. If the first caller's process
/// died, its claim lapses, and the repeat sends the same push again under the same id: clients drop what they have.
struct PushOnce<Time: Clock>: Sendable where Time.Duration == Duration {
    let table: any OnceTable
    let limits: Limits
    let clock: Time

    /// The answer of a push that has taken longer than its deadline is still on its way for a moment.
    private static var margin: Duration { .seconds(2) }
    /// Between two looks whether the other one is done; the last one is repeated.
    private static var pauses: [Duration] {
        [.milliseconds(25), .milliseconds(50), .milliseconds(100), .milliseconds(200)]
    }

    /// - Parameters:
    ///   - push: what is to be sent if nobody did.
    ///   - key: what the request is known by.
    ///   - digest: tells two requests apart.
    ///   - send: sends the push; its id may have been changed to an earlier one's.
    /// - Returns: the answer, the first one's or this one's.
    /// - Throws: `in_progress`, `idempotency_mismatch`; why nothing could be sent.
    func run(
        _ push: Push,
        _ key: IdempotencyKey,
        digest: String,
        _ send: (Push) async throws(PushRefusal) -> PushAnswer
    ) async throws(Problem) -> Response {
        let patience = push.deadline ?? limits.pushDeadline
        let claim = OnceClaim(
            key: key,
            digest: digest,
            push: push.id,
            holder: .random(in: 0...(.max)),
            lease: patience + Self.margin,
            memory: limits.idempotencyMemory
        )
        let end = clock.now.advanced(by: patience)
        var tries = 0
        while true {
            switch try await ask(claim) {
            case .claimed(let id, let isRepeat):
                var push = push
                push.id = id
                push.isRepeat = isRepeat
                return try await finish(push, claim, send)
            case .answered(let bytes):
                var response = Response.json(bytes: bytes)
                if let name = IdempotencyHeader.replayed { response.headers[name] = "true" }
                return response
            case .mismatch: throw .mismatch
            case .held(let id, let remaining):
                let pause = Self.pauses[min(tries, Self.pauses.count - 1)]
                tries += 1
                guard clock.now.advanced(by: pause) < end else { throw .inProgress(id, remaining) }
                do { try await clock.sleep(until: clock.now.advanced(by: pause), tolerance: nil) } catch {
                    throw Problem(.callerGone)
                }
            }
        }
    }

    private func ask(_ claim: OnceClaim) async throws(Problem) -> OnceOutcome {
        do { return try await table.claim(claim) } catch {
            switch error {
            case .unavailable: throw Problem(.memoryUnavailable)
            case .corrupt: throw Problem(.tableCorrupt)
            }
        }
    }

    /// When the answer cannot be remembered it is given all the same: a repeat then sends the push once more, under
    /// the same id.
    private func finish(
        _ push: Push,
        _ claim: OnceClaim,
        _ send: (Push) async throws(PushRefusal) -> PushAnswer
    ) async throws(Problem) -> Response {
        do throws(PushRefusal) {
            let bytes = PushJSON.encode(try await send(push))
            try? await table.complete(claim, answer: bytes)
            return .json(bytes: bytes)
        } catch {
            try? await table.abandon(claim)
            throw Problem(error)
        }
    }
}

/// Names of header fields. The key is draft-ietf-httpapi-idempotency-key-header's; the other one is Stripe's.
enum IdempotencyHeader {
    static let key = HTTPField.Name("Idempotency-Key")
    static let replayed = HTTPField.Name("Idempotent-Replayed")
}

/// What tells two requests with one key apart: the SHA-256 of the body, in hexadecimal digits.
enum RequestDigest {
    static func of(_ body: ByteBuffer) -> String {
        SHA256.digest(body.readableBytesView).reduce(into: "") { text, byte in
            text += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
    }
}

extension Problem {
    static var mismatch: Self {
        var problem = Self(
            .unprocessableContent,
            "idempotency_mismatch",
            "this idempotency key stands for another request: a new request needs a new key"
        )
        problem.field = "idempotency_key"
        return problem
    }

    fileprivate static func inProgress(_ push: PushID, _ remaining: Duration) -> Self {
        var problem = Self(
            .conflict,
            "in_progress",
            "the push \(push) of this idempotency key is being sent; its answer comes with the same request, later"
        )
        problem.retryAfterSeconds = max(1, (remaining.wholeMilliseconds + 999) / 1000)
        return problem
    }
}
