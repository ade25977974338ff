import CryptoKit
import XCTest

@testable import Classifier

/// Every resize rule, orientation and odd size, against the bytes that the training machine makes.
final class PreprocessingTests: XCTestCase {
    func testEveryVectorGivesItsBytes() throws {
        let table = try String(decoding: load("preprocessing.tsv", Bundle(for: Self.self)), as: UTF8.self)
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: "\t")
            let numbers = fields.compactMap { Int($0) }
            let rule = try XCTUnwrap(ResizeRule(rawValue: String(fields[4])))
            let bytes = Preprocessing(width: numbers[2], height: numbers[3], rule: rule).run(
                rgba: draw(numbers[0], numbers[1]), imageWidth: numbers[0], imageHeight: numbers[1],
                orientation: numbers[4])
            let hash = SHA256.hash(data: Data(bytes)).map { String(format: "%02x", $0) }.joined()
            XCTAssertEqual(hash, String(fields[6]), String(line))
        }
    }

    /// Byte i of the RGBA pixels is bits 16 to 23 of i * 2654435761 + 12345, as in the other tests.
    private func draw(_ width: Int, _ height: Int) -> [UInt8] {
        (0..<UInt32(4 * width * height)).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761 &+ 12345) >> 16) }
    }
}

final class SelfTestTests: XCTestCase {
    func testThisDeviceGivesTheSameAnswers() throws {
        XCTAssertEqual(try runSelfTest(Classifier()).faults, [])
    }
}
