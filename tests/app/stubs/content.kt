package android.content

import android.content.res.AssetManager
import android.net.Uri

class ContentResolver {
    fun openInputStream(uri: Uri): java.io.InputStream? = null
}

open class Context {
    val assets = AssetManager()
    val contentResolver = ContentResolver()
    fun getString(id: Int, vararg values: Any): String = "$id ${values.size}"
}
