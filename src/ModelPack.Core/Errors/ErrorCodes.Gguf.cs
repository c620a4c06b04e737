namespace ModelPack;

/// <summary>MP1400-1429: reading GGUF files.</summary>
public static partial class ErrorCodes
{
    public static readonly ErrorCode GgufMagic = new(1400, "a GGUF file that does not begin like one");
    public static readonly ErrorCode GgufVersion = new(1401, "a GGUF file of a version that is not read");
    public static readonly ErrorCode GgufBigEndian = new(1402, "a big-endian GGUF file");
    public static readonly ErrorCode GgufTruncated = new(1403, "a GGUF header that runs past the end of the file");
    public static readonly ErrorCode GgufCount = new(1404, "a GGUF file that announces more entries than it can hold");
    public static readonly ErrorCode GgufKey = new(1405, "a GGUF metadata key that is empty, too long or not UTF-8");
    public static readonly ErrorCode GgufDuplicateKey = new(1406, "a GGUF metadata key that is there twice");
    public static readonly ErrorCode GgufValueType = new(1407, "a GGUF metadata value of an unknown type");
    public static readonly ErrorCode GgufValue = new(1408, "a GGUF metadata value that is not valid");
    public static readonly ErrorCode GgufAlignment = new(1409, "a GGUF alignment that is not a power of two");
    public static readonly ErrorCode GgufTensorName = new(1410, "a GGUF tensor name that is empty, too long or not UTF-8");
    public static readonly ErrorCode GgufDuplicateTensor = new(1411, "a GGUF tensor that is there twice");
    public static readonly ErrorCode GgufDimensions = new(1412, "GGUF dimensions that are too many or too large");
    public static readonly ErrorCode GgufTensorType = new(1413, "a GGUF tensor of an unknown type");
    public static readonly ErrorCode GgufRow = new(1414, "a GGUF tensor whose rows are not whole blocks");
    public static readonly ErrorCode GgufOffset = new(1415, "a GGUF tensor that is not aligned");
    public static readonly ErrorCode GgufDataPastEnd = new(1416, "a GGUF tensor past the end of the file");
    public static readonly ErrorCode GgufOverlap = new(1417, "GGUF tensors that overlap");
    public static readonly ErrorCode BitNetKernelConfig = new(1418, "a kernel_config.ini of bitnet.cpp that is damaged or does not fit the model beside it");
}
