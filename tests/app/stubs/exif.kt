package androidx.exifinterface.media

class ExifInterface(stream: java.io.InputStream) {
    fun getAttributeInt(tag: String, default: Int): Int = default

    companion object {
        const val TAG_ORIENTATION = "Orientation"
    }
}
