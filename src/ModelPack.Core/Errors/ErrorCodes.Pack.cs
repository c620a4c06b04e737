namespace ModelPack;

public static partial class ErrorCodes
{
    // MP1300-1349: reading artifacts.
    public static readonly ErrorCode NotAnArtifact = new(1301, "not a ModelPack artifact, or its end is missing");
    public static readonly ErrorCode ArtifactVersion = new(1302, "the artifact needs a newer version of ModelPack");
    public static readonly ErrorCode ArtifactRoot = new(1303, "the artifact's root record is damaged");
    public static readonly ErrorCode ArtifactLength = new(1304, "the artifact has not the length it was written with");
    public static readonly ErrorCode ArtifactHeader = new(1305, "the artifact's safetensors header is damaged");
    public static readonly ErrorCode ArtifactManifest = new(1306, "the artifact's manifest is damaged or contradicts its header");
    public static readonly ErrorCode ArtifactIndex = new(1307, "the artifact's chunk index is damaged or contradicts its manifest");
    public static readonly ErrorCode ArtifactTensor = new(1308, "a tensor's dtype, shape or encoding does not fit its streams");
    public static readonly ErrorCode ArtifactChunk = new(1309, "a chunk of the artifact is damaged");
    public static readonly ErrorCode ArtifactCodec = new(1310, "a chunk uses a codec this version does not have");
    public static readonly ErrorCode ArtifactPadding = new(1311, "bytes between streams are not zero");
    public static readonly ErrorCode ArtifactNotFiles = new(1312, "the artifact does not hold packed files");
    public static readonly ErrorCode ArtifactFileTable = new(1313, "the artifact's file table is damaged or names a path outside the destination");
    public static readonly ErrorCode ArtifactFileHash = new(1314, "a restored file differs from the one that was packed");
    public static readonly ErrorCode ArtifactBaseMissing = new(1315, "the artifact holds differences from a base that was not given");
    public static readonly ErrorCode ArtifactBaseWrong = new(1316, "the file given as the base is not the one the differences were taken from");
    public static readonly ErrorCode ArtifactBaseRecord = new(1317, "the artifact's record of its base is damaged");
    public static readonly ErrorCode ArtifactNotADelta = new(1318, "a base was given for an artifact that holds no differences");

    // MP4000-4049: packing.
    public static readonly ErrorCode PackDuplicateName = new(4001, "two tensors or blobs to pack have the same name");
    public static readonly ErrorCode PackOutput = new(4002, "the output cannot be written");
    public static readonly ErrorCode PackRowTooLong = new(4003, "one row of a tensor is too long to be packed in this format");
    public static readonly ErrorCode PackMemory = new(4004, "the memory limit is too small for one tile");
    public static readonly ErrorCode PackHeaderTooLarge = new(4005, "too many or too long tensor names for one artifact");
    public static readonly ErrorCode PackFileMap = new(4006, "the description of a file to pack is wrong");
}
