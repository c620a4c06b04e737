namespace ModelPack;

public static partial class ErrorCodes
{
    // MP1100-1139: reading safetensors files.
    public static readonly ErrorCode SafetensorsTooShort = new(1100, "a safetensors file shorter than its 8-byte header length");
    public static readonly ErrorCode SafetensorsHeaderTooLarge = new(1101, "a safetensors header longer than the format allows");
    public static readonly ErrorCode SafetensorsHeaderPastEnd = new(1102, "a safetensors header longer than the file");
    public static readonly ErrorCode SafetensorsHeaderStart = new(1103, "a safetensors header that does not start with '{'");
    public static readonly ErrorCode SafetensorsHeaderNotUtf8 = new(1104, "a safetensors header that is not UTF-8");
    public static readonly ErrorCode SafetensorsHeaderNotJson = new(1105, "a safetensors header that is not JSON");
    public static readonly ErrorCode SafetensorsDuplicateTensor = new(1106, "a tensor named twice in a safetensors header");
    public static readonly ErrorCode SafetensorsDuplicateField = new(1107, "a field given twice for one tensor of a safetensors header");
    public static readonly ErrorCode SafetensorsDuplicateMetadata = new(1108, "a metadata key given twice in a safetensors header");
    public static readonly ErrorCode SafetensorsNesting = new(1109, "a safetensors header nested deeper than the format");
    public static readonly ErrorCode SafetensorsEntryNotObject = new(1110, "a tensor of a safetensors header that is not described by an object");
    public static readonly ErrorCode SafetensorsUnknownField = new(1111, "an unknown field of a tensor in a safetensors header");
    public static readonly ErrorCode SafetensorsMissingField = new(1112, "a tensor of a safetensors header without dtype, shape or data_offsets");
    public static readonly ErrorCode SafetensorsUnknownDType = new(1113, "an unknown dtype in a safetensors header");
    public static readonly ErrorCode SafetensorsMetadataNotStrings = new(1114, "safetensors metadata that is not an object of strings");
    public static readonly ErrorCode SafetensorsNotAnInteger = new(1115, "a dimension or offset in a safetensors header that is not an integer");
    public static readonly ErrorCode SafetensorsNegativeNumber = new(1116, "a negative dimension or offset in a safetensors header");
    public static readonly ErrorCode SafetensorsNumberTooLarge = new(1117, "a dimension or offset in a safetensors header that does not fit in 63 bits");
    public static readonly ErrorCode SafetensorsShapeOverflow = new(1118, "a shape in a safetensors header with more elements or bytes than fit in 63 bits");
    public static readonly ErrorCode SafetensorsTooManyDimensions = new(1119, "a shape in a safetensors header with too many dimensions");
    public static readonly ErrorCode SafetensorsFieldType = new(1120, "a field of a safetensors header that has the wrong JSON type");
    public static readonly ErrorCode SafetensorsOffsetCount = new(1121, "data_offsets that are not exactly two numbers");
    public static readonly ErrorCode SafetensorsOffsetsReversed = new(1122, "data_offsets that end before they begin");
    public static readonly ErrorCode SafetensorsSizeMismatch = new(1123, "data_offsets that do not fit dtype and shape");
    public static readonly ErrorCode SafetensorsPartialByte = new(1124, "a tensor of a sub-byte dtype that does not fill whole bytes");
    public static readonly ErrorCode SafetensorsDataStart = new(1125, "safetensors data that do not start right after the header");
    public static readonly ErrorCode SafetensorsOverlap = new(1126, "tensors of a safetensors file that overlap");
    public static readonly ErrorCode SafetensorsHole = new(1127, "bytes between tensors of a safetensors file");
    public static readonly ErrorCode SafetensorsDataPastEnd = new(1128, "tensor data past the end of a safetensors file");
    public static readonly ErrorCode SafetensorsTrailingBytes = new(1129, "bytes after the last tensor of a safetensors file");
    public static readonly ErrorCode SafetensorsBadText = new(1130, "a name or text in a safetensors header that is not valid Unicode");

    // MP1140-1149: writing safetensors files.
    public static readonly ErrorCode SafetensorsCannotHoldDType = new(1140, "a dtype that safetensors does not have");
    public static readonly ErrorCode SafetensorsCannotHoldName = new(1141, "a tensor name that a safetensors file cannot hold");
    public static readonly ErrorCode SafetensorsCannotHoldGraph = new(1142, "a model with a graph written as safetensors");
    public static readonly ErrorCode SafetensorsHeaderWouldBeTooLarge = new(1143, "a safetensors header that would be longer than the format allows");
}
