import CoreVideo
import UIKit

/// The pixels of an image with its orientation, in sRGB; what is transparent becomes white.
func readPixels(_ image: UIImage) -> Pixels? {
    guard let source = image.cgImage else { return nil }
    let (width, height) = (source.width, source.height)
    var rgba = [UInt8](repeating: 255, count: 4 * width * height)
    let space = source.colorSpace?.model == .rgb ? source.colorSpace! : CGColorSpaceCreateDeviceRGB()
    let drawn = rgba.withUnsafeMutableBytes { buffer -> Bool in
        guard let context = CGContext(
            data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
            bytesPerRow: 4 * width, space: space,
            bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
        else { return false }
        context.setFillColor(gray: 1, alpha: 1)
        context.fill(CGRect(x: 0, y: 0, width: width, height: height))
        context.draw(source, in: CGRect(x: 0, y: 0, width: width, height: height))
        return true
    }
    let orientations: [UIImage.Orientation: Int] = [
        .up: 1, .upMirrored: 2, .down: 3, .downMirrored: 4,
        .leftMirrored: 5, .right: 6, .rightMirrored: 7, .left: 8,
    ]
    return drawn
        ? Pixels(rgba: rgba, width: width, height: height, orientation: orientations[image.imageOrientation] ?? 1)
        : nil
}

/// The pixels of a camera's BGRA frame, which is upright already.
func readPixels(_ frame: CVPixelBuffer) -> Pixels? {
    CVPixelBufferLockBaseAddress(frame, .readOnly)
    defer { CVPixelBufferUnlockBaseAddress(frame, .readOnly) }
    guard let base = CVPixelBufferGetBaseAddress(frame) else { return nil }
    let (width, height) = (CVPixelBufferGetWidth(frame), CVPixelBufferGetHeight(frame))
    let stride = CVPixelBufferGetBytesPerRow(frame)
    var rgba = [UInt8](repeating: 255, count: 4 * width * height)
    for y in 0..<height {
        let row = base.advanced(by: y * stride).assumingMemoryBound(to: UInt8.self)
        for x in 0..<width {
            let to = 4 * (y * width + x)
            rgba[to] = row[4 * x + 2]
            rgba[to + 1] = row[4 * x + 1]
            rgba[to + 2] = row[4 * x]
        }
    }
    return Pixels(rgba: rgba, width: width, height: height)
}
