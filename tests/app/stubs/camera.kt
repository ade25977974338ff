package androidx.camera.core

import java.nio.ByteBuffer
import java.util.concurrent.Executor

class ImageInfo(val rotationDegrees: Int)

class ImageProxy(val width: Int, val height: Int, val imageInfo: ImageInfo) : AutoCloseable {
    class PlaneProxy(val buffer: ByteBuffer, val rowStride: Int)

    val planes: Array<PlaneProxy> = emptyArray()
    override fun close() {}
}

interface UseCase

class CameraSelector {
    companion object {
        val DEFAULT_BACK_CAMERA = CameraSelector()
    }
}

class Preview : UseCase {
    interface SurfaceProvider

    class Builder {
        fun build() = Preview()
    }

    fun setSurfaceProvider(provider: SurfaceProvider) {}
}

class ImageAnalysis : UseCase {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    class Builder {
        fun setBackpressureStrategy(strategy: Int) = this
        fun setOutputImageFormat(format: Int) = this
        fun build() = ImageAnalysis()
    }

    fun setAnalyzer(executor: Executor, analyzer: Analyzer) {}

    companion object {
        const val STRATEGY_KEEP_ONLY_LATEST = 0
        const val OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2
    }
}
