import HeraldSockets
import HeraldWire

extension OutboundFrame {
    /// A push as clients are shown it; its payload is copied once, into the frame.
    static func push(_ push: PushFrame, policy: FramePolicy = .wait) -> OutboundFrame {
        let parts = ServerFrame.push(push).encodedParts()
        return .text(parts.text, enclosing: parts.payload, at: parts.payloadPlace, policy: policy)
    }
}
