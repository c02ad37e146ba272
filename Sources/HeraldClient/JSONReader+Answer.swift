import HeraldCore
import HeraldWire

extension JSONReader {
    /// Reads the whole body of an answer.
    ///
    /// `value`: reads the one value that it is.
    static func answer<Value>(
        _ body: [UInt8],
        _ value: (inout JSONReader) throws(WireError) -> Value
    ) throws(WireError) -> Value {
        let result: Result<Value, WireError> = body.withUnsafeBytes { bytes in
            do throws(WireError) {
                return .success(try read(bytes, depthMax: Limits.standard.jsonDepthMax, value))
            } catch { return .failure(error) }
        }
        return try result.get()
    }
}
