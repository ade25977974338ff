import AVFoundation

/// The back camera; gives each frame to `onFrame` on its own queue, and drops those that come late.
final class Camera: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    let session = AVCaptureSession()
    var onFrame: ((CVPixelBuffer) -> Void)?
    private let queue: DispatchQueue

    init(queue: DispatchQueue) {
        self.queue = queue
    }

    func start() throws {
        if session.inputs.isEmpty {
            guard let device = AVCaptureDevice.default(for: .video) else {
                throw AVError(.deviceNotConnected)
            }
            session.sessionPreset = .vga640x480
            session.addInput(try AVCaptureDeviceInput(device: device))
            let output = AVCaptureVideoDataOutput()
            output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
            output.alwaysDiscardsLateVideoFrames = true
            output.setSampleBufferDelegate(self, queue: queue)
            session.addOutput(output)
            output.connection(with: .video)?.videoOrientation = .portrait // frames come upright
        }
        queue.async { self.session.startRunning() }
    }

    func stop() {
        queue.async { self.session.stopRunning() }
    }

    func captureOutput(_: AVCaptureOutput, didOutput sample: CMSampleBuffer, from _: AVCaptureConnection) {
        if let frame = CMSampleBufferGetImageBuffer(sample) { onFrame?(frame) }
    }
}
