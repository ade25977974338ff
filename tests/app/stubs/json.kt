package org.json

class JSONObject(text: String) {
    fun getString(name: String): String = name
    fun getInt(name: String): Int = 0
    fun getDouble(name: String): Double = 0.0
    fun isNull(name: String): Boolean = false
    fun getJSONObject(name: String): JSONObject = this
    fun getJSONArray(name: String): JSONArray = JSONArray()
}

class JSONArray {
    fun length(): Int = 0
    fun getString(index: Int): String = ""
    fun getInt(index: Int): Int = 0
    fun getJSONObject(index: Int): JSONObject = JSONObject("")
}
