import COpenSSL
import Glibc

/// The TLS side of one loop's connections; there is none in an engine without TLS.
///
/// OpenSSL reads and writes the nonblocking descriptor itself (`SSL_set_fd`). Considered: memory BIOs, which leave the
/// system calls to us and never wait for writing; but they copy everything once more, hold ciphertext for every slow
/// reader that our send queue's limits do not see, and exclude the kernel's TLS, which OpenSSL sets up on a
/// descriptor only.
///
/// What that costs: a record that did not fit the socket is kept encrypted by OpenSSL, and has to be offered again.
/// `pendingBytes` says how much of a send queue is in it, so that it is not dropped from there meanwhile.
///
/// Owns each connection's `SSL` from `start` to `end`.
struct TLSSessions: ~Copyable {
    private let certificate: TLSCertificate
    /// By slot, trivial and valid as zeros: pages of slots that were never used stay untouched.
    private let sessions: UnsafeMutablePointer<Session>
    private let slotCapacity: Int
    /// Where small frames are put together: a record each would cost 22 bytes and a round of encryption.
    private let record: UnsafeMutableRawBufferPointer

    private struct Session {
        var ssl: OpaquePointer?
        var pendingBytes: UInt32
        var hasFailed: Bool
    }

    /// What reading or writing came to.
    enum Outcome: Equatable {
        case bytes(Int)
        /// Not before the socket has room again, or something to read.
        case wantsWrite, wantsRead
        /// Nothing more will come: closed in good order, or broken.
        case ended
    }

    /// The most that fits one record (RFC 8446, 5.1).
    private static let recordBytesMax = 16 * 1024

    init(certificate: TLSCertificate, slotCapacity: Int) {
        self.certificate = certificate
        let memory = calloc(slotCapacity, MemoryLayout<Session>.stride)
        guard let memory else { preconditionFailure("no address space for \(slotCapacity) sessions") }
        sessions = memory.bindMemory(to: Session.self, capacity: slotCapacity)
        record = .allocate(byteCount: Self.recordBytesMax, alignment: 16)
        self.slotCapacity = slotCapacity
    }

    deinit {
        for slot in 0..<slotCapacity where sessions[slot].ssl != nil { SSL_free(sessions[slot].ssl) }
        free(sessions)
        record.deallocate()
    }

    /// - Returns: false when there is no memory.
    func start(_ slot: Int, descriptor: Int32) -> Bool {
        sessions[slot].ssl = certificate.context.session(descriptor: descriptor)
        return sessions[slot].ssl != nil
    }

    /// Says goodbye to the peer as far as the socket takes it, and forgets the connection.
    func end(_ slot: Int) {
        guard let ssl = sessions[slot].ssl else { return }
        finishWriting(slot)
        SSL_free(ssl)
        sessions[slot] = Session(ssl: nil, pendingBytes: 0, hasFailed: false)
    }

    func isHandshaking(_ slot: Int) -> Bool { SSL_is_init_finished(sessions[slot].ssl) == 0 }

    /// How many of the first bytes in the slot's send queue are encrypted already and must stay there.
    func pendingBytes(_ slot: Int) -> Int { Int(sessions[slot].pendingBytes) }

    /// Whether OpenSSL holds bytes that epoll knows nothing of.
    func hasMore(_ slot: Int) -> Bool { SSL_pending(sessions[slot].ssl) > 0 }

    /// Reads at most one record; makes the handshake first.
    func read(_ slot: Int, into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
        guard !sessions[slot].hasFailed else { return .ended }
        ERR_clear_error()
        let count = SSL_read(sessions[slot].ssl, buffer.baseAddress, Int32(clamping: buffer.count))
        return outcome(slot, count)
    }

    /// Writes the beginning of what the vectors name: one record's worth.
    func write(_ slot: Int, _ vectors: UnsafeBufferPointer<iovec>) -> Outcome {
        guard !sessions[slot].hasFailed, let first = vectors.first else { return .ended }
        var bytes = UnsafeRawBufferPointer(start: first.iov_base, count: first.iov_len)
        if vectors.count > 1, bytes.count < Self.recordBytesMax { bytes = gathered(vectors) }
        let offered = min(bytes.count, Self.recordBytesMax)
        ERR_clear_error()
        let result = outcome(slot, SSL_write(sessions[slot].ssl, bytes.baseAddress, Int32(offered)))
        sessions[slot].pendingBytes = result == .wantsWrite ? UInt32(offered) : 0
        return result
    }

    /// Nothing more will be written; the peer is told (close_notify), so that it can tell this from a cut.
    func finishWriting(_ slot: Int) {
        guard !sessions[slot].hasFailed, !isHandshaking(slot),
            SSL_get_shutdown(sessions[slot].ssl) & SSL_SENT_SHUTDOWN == 0
        else { return }
        ERR_clear_error()
        SSL_shutdown(sessions[slot].ssl)
    }

    private func gathered(_ vectors: UnsafeBufferPointer<iovec>) -> UnsafeRawBufferPointer {
        var count = 0
        for vector in vectors {
            let bytes = min(vector.iov_len, record.count - count)
            guard bytes > 0, let source = vector.iov_base, let target = record.baseAddress else { continue }
            (target + count).copyMemory(from: source, byteCount: bytes)
            count += bytes
        }
        return UnsafeRawBufferPointer(rebasing: record[..<count])
    }

    private func outcome(_ slot: Int, _ result: Int32) -> Outcome {
        if result > 0 { return .bytes(Int(result)) }
        switch SSL_get_error(sessions[slot].ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .ended
        default:
            // After these the session must not be used any more, not even to say goodbye (SSL_get_error(3)).
            sessions[slot].hasFailed = true
            return .ended
        }
    }
}
