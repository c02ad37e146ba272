/// Takes apart what an HTTP/1.1 server answers on a kept-alive connection: answers with a Content-Length.
enum HTTPAnswers {
    struct Answer: Equatable {
        var status: Int
        /// Where its body is.
        var body: Range<Int>
    }

    /// What is no such answer.
    struct Unreadable: Error {}

    private static let headEnd = Array("\r\n\r\n".utf8)
    private static let routed = Array(#""verdict":"routed""#.utf8)
    private static let headBytesMax = 64 << 10

    /// - Returns: the answer that starts at an offset; nil while it is not all there.
    static func next(in bytes: [UInt8], at start: Int) throws(Unreadable) -> Answer? {
        guard let end = headEnd(in: bytes, from: start) else {
            guard bytes.count - start <= headBytesMax else { throw Unreadable() }
            return nil
        }
        let lines = String(decoding: bytes[start..<end], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw Unreadable()
        }
        var length = 0
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { throw Unreadable() }
            switch line[..<colon].lowercased() {
            case "content-length":
                let text = line[line.index(after: colon)...].drop { $0 == " " }
                guard let number = Int(text), number >= 0 else { throw Unreadable() }
                length = number
            case "transfer-encoding": throw Unreadable()
            default: break
            }
        }
        let body = end + headEnd.count
        return body + length <= bytes.count ? Answer(status: status, body: body..<body + length) : nil
    }

    /// How many verdicts of an answer's body are `routed`.
    static func routed(in body: ArraySlice<UInt8>) -> Int {
        var count = 0
        var place = body.startIndex
        while place + routed.count <= body.endIndex {
            if body[place] == routed[0], body[place..<place + routed.count].elementsEqual(routed) {
                count += 1
                place += routed.count
            } else {
                place += 1
            }
        }
        return count
    }

    /// Where the blank line begins that ends a head; nil: it is not there yet.
    static func headEnd(in bytes: [UInt8], from start: Int) -> Int? {
        var place = start
        while place + headEnd.count <= bytes.count {
            if bytes[place] == headEnd[0], bytes[place..<place + headEnd.count].elementsEqual(headEnd) {
                return place
            }
            place += 1
        }
        return nil
    }
}
