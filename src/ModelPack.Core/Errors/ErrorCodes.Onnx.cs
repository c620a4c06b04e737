namespace ModelPack;

/// <summary>MP1200-1299: ONNX files.</summary>
public static partial class ErrorCodes
{
    // The protobuf framing.
    public static readonly ErrorCode OnnxWireFormat = new(1200, "an ONNX file is not valid protobuf");
    public static readonly ErrorCode OnnxLength = new(1201, "a protobuf length runs past the message that holds it");
    public static readonly ErrorCode OnnxTooDeep = new(1202, "protobuf messages are nested too deeply");
    public static readonly ErrorCode OnnxTooLarge = new(1203, "the structure of an ONNX file, without weights, is too large");
    public static readonly ErrorCode OnnxText = new(1204, "a text field is not UTF-8");
    public static readonly ErrorCode OnnxReservedField = new(1205, "an ONNX file uses a field number that ModelPack uses internally");

    // Graphs.
    public static readonly ErrorCode OnnxNoGraph = new(1210, "an ONNX file holds no graph");
    public static readonly ErrorCode OnnxInitializerName = new(1211, "an initializer has no name");
    public static readonly ErrorCode OnnxDuplicateInitializer = new(1212, "two initializers of a graph have the same name");
    public static readonly ErrorCode OnnxAttribute = new(1213, "an attribute holds more than one value");

    // Tensors.
    public static readonly ErrorCode OnnxDType = new(1220, "a tensor has an unknown dtype");
    public static readonly ErrorCode OnnxShape = new(1221, "a tensor has an impossible shape");
    public static readonly ErrorCode OnnxTensorSize = new(1222, "a tensor's data does not fit its dtype and shape");
    public static readonly ErrorCode OnnxTensorFields = new(1223, "a tensor's data is in the wrong field or in several");
    public static readonly ErrorCode OnnxSegment = new(1224, "a tensor is one segment of a larger one");

    // External data.
    public static readonly ErrorCode OnnxExternalEntries = new(1230, "the external data entries of a tensor are not usable");
    public static readonly ErrorCode OnnxExternalAbsolute = new(1231, "an external data location is an absolute path");
    public static readonly ErrorCode OnnxExternalEscape = new(1232, "an external data location leaves the model's folder");
    public static readonly ErrorCode OnnxExternalBackslash = new(1233, "an external data location contains a backslash");
    public static readonly ErrorCode OnnxExternalLink = new(1234, "an external data location is a link out of the model's folder");
    public static readonly ErrorCode OnnxExternalIrregular = new(1235, "an external data location is not a regular file");
    public static readonly ErrorCode OnnxExternalRange = new(1236, "an external data range is outside its file");
    public static readonly ErrorCode OnnxExternalMissing = new(1237, "an external data file does not exist");

    // Writing.
    public static readonly ErrorCode OnnxExportNoGraph = new(1250, "a model without a graph cannot become ONNX");
    public static readonly ErrorCode OnnxExportTooLarge = new(1251, "a model is too large for one ONNX file");
    public static readonly ErrorCode OnnxUnboundTensor = new(1253, "a weightless graph names a tensor that the artifact does not hold");
}
